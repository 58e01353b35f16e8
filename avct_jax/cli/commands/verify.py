"""`avct verify`: whether films say that they are synthetic, and who says so."""

import dataclasses
import json

from avct_jax import errors
from avct_jax.cli import option

UNMARKED, UNCHECKED, FORGED = 1, 2, 3  # exit codes, beside 0: all are marked, and nothing is forged
CODES = {"invalid": FORGED, "unreadable": FORGED, "unchecked": UNCHECKED}  # of states that outweigh a mark
EXAMPLES = """
examples:
  avct verify talk.mp4
  avct verify *.mp4 --json
  avct verify talk.mp4 --trust authority.pem

exit codes: 0 every film is marked as synthetic, 1 one is not, 2 one (or its credentials) could not be looked
at, 3 credentials are not valid or cannot be read: changed after they were signed, forged, or damaged.
Of several films the highest counts. What each field of --json says: docs/how-to/marks.md.
"""


@dataclasses.dataclass(frozen=True)
class Options:
    """Read films' Content Credentials and look for the watermark of avct_jax; nothing is fetched or sent.

    Attributes:
      files: films, anybody's
      json: an object a line for each file, for programs
      trust: PEM file of authorities that count as known (default: nobody is)
    """

    files: option.SomeFiles
    json: option.Flag = False
    trust: option.MaybeFile = None
    shown: option.Shown = option.Shown()


def run(options: Options) -> int:
    """Do it."""
    from avct_jax.cli import terminal
    from avct_jax.marks import signing_key, verification

    worst, trust = 0, None if options.trust is None else signing_key.read_trust(options.trust)
    for path in options.files:
        try:
            found = verification.verify(path, trust)
        except errors.UserError as error:
            worst = max(worst, UNCHECKED)
            if options.json:
                terminal.show_result(json.dumps({"file": path, "error": str(error)}))
            else:
                terminal.note(str(error))
            continue
        if options.json:
            terminal.show_result(json.dumps(found.record))
        elif not options.shown.quiet:
            name = "" if len(options.files) == 1 else f"{path}: "
            for line in found.lines:
                terminal.show_result(f"{name}{line}")
        worst = max(worst, CODES.get(found.state, 0 if found.marked else UNMARKED))
    return worst

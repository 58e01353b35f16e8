"""Keys that sign Content Credentials: the user's, or one that this installation makes for itself."""

import contextlib
import datetime
import functools
import os
import pathlib
import stat
from collections.abc import Callable
from typing import NamedTuple

from avct_jax import errors
from avct_jax.marks import installation

FILE = "signing.pem"
ISSUER, SUBJECT = "avct_jax self-made authority", "avct_jax installation"
YEARS = 20
OTHERS = 0o077  # of a mode: what the group and all others may do
NO_SIGNING = {"1.3.6.1.5.5.7.3.1", "1.3.6.1.5.5.7.3.2"}  # purposes: servers and clients of TLS
RECIPE = "docs/how-to/marks.md has the commands of openssl that make one"
CURVES = {"secp256r1": "es256", "secp384r1": "es384", "secp521r1": "es512"}


class SigningKey(NamedTuple):
    """A key, and who says whose it is.

    Attributes:
      algorithm: as C2PA names it: es256, es384, es512, ps256 or ed25519.
      certificates: PEM, the signer's first.
      key: PEM, PKCS 8, not encrypted; or a function that signs bytes, of a key that is kept elsewhere.
      self_made: by this installation: it says that the file was not changed since, not who made it.
    """

    algorithm: str
    certificates: bytes
    key: bytes | Callable[[bytes], bytes]
    self_made: bool = False


def own(notes: list[str] | None = None) -> SigningKey:
    """Return this installation's key, made at first use and kept where nobody else may read it (0600).

    Args:
      notes: gets a line where it is made now, or others could read it until now.

    Raises:
      UserError: it cannot be read or kept, or the file there holds no key.
    """
    path, told = installation.folder() / FILE, []
    try:
        if not path.exists():
            told.append(
                f"{path} is made: a key that signs Content Credentials as this installation, known to no "
                "authority; --certificate and --key name your own"
            )
        else:
            told += _made_private(path)
        key = _own(path)
    except OSError as error:
        raise errors.UserError(
            f"{path}, this installation's signing key, cannot be read or kept ({error.strerror}); "
            f"see to the folder, or name another by {installation.FOLDER_VARIABLE}"
        ) from None
    except ValueError:
        raise errors.UserError(
            f"{path} holds no key with its certificate; remove it, and a new one is made"
        ) from None
    if notes is not None:
        notes += told
    return key


def load(certificate: str | os.PathLike, key: str | os.PathLike | Callable[[bytes], bytes]) -> SigningKey:
    """Read a key and its certificates.

    Args:
      certificate: PEM file, the signer's certificate first, then those that vouch for it.
      key: PEM file of any kind (PKCS 8, SEC 1, PKCS 1), without a password; or a function that signs bytes.

    Raises:
      UserError: one cannot be read, they do not belong together, or the certificate is not valid today.
    """
    try:
        chain = pathlib.Path(certificate).read_bytes()
        read = key if callable(key) else pathlib.Path(key).read_bytes()
    except OSError as error:
        raise errors.UserError(f"cannot read {error.filename!r}: {error.strerror}; name a PEM file") from None
    try:
        secret = read if callable(read) else _pkcs8(read)
        made = SigningKey(_algorithm(chain, secret), chain, secret)
        when = _out_of_date(chain)
    except (ValueError, TypeError) as error:
        named = "the key" if callable(key) else repr(os.fspath(key))
        said = " ".join(str(error).split())
        raise errors.UserError(
            f"{os.fspath(certificate)!r} and {named} cannot sign: {said}; give a certificate "
            "and its key as PEM files, the key without a password"
        ) from None
    if when:
        raise errors.UserError(f"{os.fspath(certificate)!r} {when}; name one that is valid today; {RECIPE}")
    return made


def read_trust(path: str | os.PathLike) -> bytes:
    """Read the certificates of authorities that are to count as known.

    Raises:
      UserError: there are none in the file.
    """
    from cryptography import x509

    try:
        found = pathlib.Path(path).read_bytes()
        x509.load_pem_x509_certificates(found)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "there is none in it"
        raise errors.UserError(
            f"no certificate of an authority can be read from {os.fspath(path)!r}: {why}; name a PEM file"
        ) from None
    return found


@functools.cache
def passing() -> SigningKey:
    """Return a key like an installation's, which is kept nowhere: to try with."""
    return _parts(_make())


def flaws(certificates: bytes) -> list[str]:
    """Say what the first certificate lacks of those that may sign Content Credentials (C2PA)."""
    from cryptography import x509

    leaf = x509.load_pem_x509_certificates(certificates)[0]
    found = {extension.oid: extension.value for extension in leaf.extensions}
    usage = found.get(x509.KeyUsage.oid)
    purposes = [oid.dotted_string for oid in found.get(x509.ExtendedKeyUsage.oid, ())]
    basic = found.get(x509.BasicConstraints.oid)
    told = {
        "it is self-signed": leaf.issuer == leaf.subject,
        "it is an authority's (CA:TRUE)": basic is not None and basic.ca,
        "its keyUsage is not digitalSignature": usage is None or not usage.digital_signature,
        "its extendedKeyUsage is neither emailProtection nor another one for signing": not purposes
        or set(purposes) <= NO_SIGNING,
    }
    return [flaw for flaw, there in told.items() if there]


def _out_of_date(certificates: bytes) -> str | None:
    """Say so of the first that is not valid now."""
    from cryptography import x509

    now = datetime.datetime.now(datetime.UTC)
    for certificate in x509.load_pem_x509_certificates(certificates):
        begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
        if not begin <= now <= end:
            when = f"expired on {end:%Y-%m-%d}" if now > end else f"is not valid before {begin:%Y-%m-%d}"
            return f"holds a certificate ({certificate.subject.rfc4514_string()}) that {when}"
    return None


def _pkcs8(secret: bytes) -> bytes:
    """The key in the form that c2pa reads; openssl writes others too."""
    from cryptography.hazmat.primitives import serialization

    form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    return serialization.load_pem_private_key(secret, None).private_bytes(*form)


def _algorithm(chain: bytes, secret: bytes | Callable[[bytes], bytes]) -> str:
    from cryptography import x509
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

    public = x509.load_pem_x509_certificates(chain)[0].public_key()
    if not callable(secret) and serialization.load_pem_private_key(secret, None).public_key() != public:
        raise ValueError("the key is not the certificate's")
    if isinstance(public, ec.EllipticCurvePublicKey) and public.curve.name in CURVES:
        return CURVES[public.curve.name]
    if isinstance(public, ed25519.Ed25519PublicKey):
        return "ed25519"
    if isinstance(public, rsa.RSAPublicKey):
        return "ps256"
    raise ValueError("the key is of a kind that C2PA does not know")


def _made_private(path: pathlib.Path) -> list[str]:
    """Let nobody else read it; says so where others could."""
    mode = path.stat().st_mode
    if os.name == "nt" or not mode & OTHERS:
        return []
    with contextlib.suppress(OSError):
        path.chmod(0o600)
    now = stat.S_IMODE(path.stat().st_mode)
    return [
        f"{path}, the signing key, was open to others (mode {stat.S_IMODE(mode):04o}) and is {now:04o} now; "
        "remove it, and a new one is made, if somebody may have copied it"
    ]


@functools.cache
def _own(path: pathlib.Path) -> SigningKey:
    found = path.read_bytes() if path.exists() else installation.write_once(path, _make())
    return _parts(found)


def _parts(found: bytes) -> SigningKey:
    """Of what `_make` made."""
    begin = found.index(b"-----BEGIN CERTIFICATE")
    return SigningKey(_algorithm(found[begin:], found[:begin]), found[begin:], found[:begin], self_made=True)


def _make() -> bytes:
    """A key, its certificate, and its made-up authority's: C2PA refuses who vouches for himself."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    authority, signer = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    certificates = _certificate(signer, authority, leaf=True), _certificate(authority, authority, leaf=False)
    form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    return signer.private_bytes(*form) + b"".join(x.public_bytes(form[0]) for x in certificates)


def _certificate(subject, issuer, *, leaf: bool):
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.x509 import oid

    name = lambda text: x509.Name(
        [
            x509.NameAttribute(oid.NameOID.COMMON_NAME, text),
            x509.NameAttribute(oid.NameOID.ORGANIZATION_NAME, text),
        ]
    )
    begin = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=1)
    usage = dict.fromkeys(
        ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "encipher_only",
         "decipher_only"), False,
    ) | {"digital_signature": leaf, "key_cert_sign": not leaf, "crl_sign": not leaf}  # fmt: skip
    made = (
        x509.CertificateBuilder()
        .subject_name(name(SUBJECT if leaf else ISSUER))
        .issuer_name(name(ISSUER))
        .public_key(subject.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(begin + datetime.timedelta(days=365 * YEARS))
        .add_extension(x509.BasicConstraints(ca=not leaf, path_length=None if leaf else 0), critical=True)
        .add_extension(x509.KeyUsage(**usage), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(subject.public_key()), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.public_key()), critical=False
        )
    )
    if leaf:
        purpose = x509.ExtendedKeyUsage([oid.ExtendedKeyUsageOID.EMAIL_PROTECTION])
        made = made.add_extension(purpose, critical=False)
    return made.sign(issuer, hashes.SHA256())

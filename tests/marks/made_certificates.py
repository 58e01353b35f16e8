"""Keys and certificates as openssl makes them, good and bad."""

import datetime

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509 import oid

PEM = serialization.Encoding.PEM
TODAY = datetime.datetime.now(datetime.UTC)
AUTHORITY = ec.generate_private_key(ec.SECP256R1())


def key_pem(key, kind=serialization.PrivateFormat.PKCS8):
    """A key's file; TraditionalOpenSSL is SEC 1 or PKCS 1."""
    return key.private_bytes(PEM, kind, serialization.NoEncryption())


def certificate(
    key, *, begin=-1, end=30, usage=True, purpose=oid.ExtendedKeyUsageOID.EMAIL_PROTECTION, own=False
):
    """A certificate's file.

    Args:
      begin, end: days from today.
      usage: digitalSignature.
      purpose: None: none is named.
      own: self-signed, by an authority as `openssl req -x509` makes it.
    """
    name = lambda text: x509.Name([x509.NameAttribute(part, text) for part in (
        oid.NameOID.COMMON_NAME, oid.NameOID.ORGANIZATION_NAME)])  # fmt: skip
    flags = ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "key_cert_sign",
             "crl_sign", "encipher_only", "decipher_only")  # fmt: skip
    made = (
        x509.CertificateBuilder()
        .subject_name(name("films"))
        .issuer_name(name("films" if own else "authority"))
        .public_key(key.public_key())
        .serial_number(7)
        .not_valid_before(TODAY + datetime.timedelta(days=begin))
        .not_valid_after(TODAY + datetime.timedelta(days=end))
        .add_extension(x509.BasicConstraints(ca=own, path_length=None), critical=True)
        .add_extension(x509.KeyUsage(digital_signature=usage, **dict.fromkeys(flags, False)), critical=True)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(AUTHORITY.public_key()), critical=False
        )
    )
    if purpose is not None:
        made = made.add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
    return made.sign(key if own else AUTHORITY, hashes.SHA256()).public_bytes(PEM)


def write(folder, key, kind=serialization.PrivateFormat.PKCS8, **told):
    """Write both; returns their paths."""
    paths = folder / "c.pem", folder / "k.pem"
    paths[0].write_bytes(certificate(key, **told))
    paths[1].write_bytes(key_pem(key, kind))
    return paths

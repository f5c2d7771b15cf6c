"""The many ways in which a user keeps a database's password, and the one check that it shows nowhere."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote, quote_plus

from tests.support.servers import PASSWORD, Server

PARTS = ("hunter2", "tr0ub4dor", "wonderland", "s3same")
"""Of every password here, in whatever way it is written."""

NAMES = ("STALESWEEP_DB", "STALESWEEP_DB_FILE", "PGPASSFILE", "PGSERVICEFILE", "PGPASSWORD")


def form(name: str, server: Server, folder: Path, password: str = PASSWORD) -> dict[str, str]:
    """The environment in which a user keeps the database's URL and its password in one of many ways."""
    secret, host = quote(password, safe=""), server.data
    escaped = "".join(f"%{byte:02X}" for byte in password.encode())
    passfile, servicefile, urlfile = folder / "pgpass", folder / "pg_service.conf", folder / "url"
    passfile.write_text(f"*:*:*:*:{password}\n")
    servicefile.write_text(f"[mine]\nhost={host}\nuser=me\ndbname=sweeps\npassword={password}\n")
    urlfile.write_text(f"postgresql://me:{secret}@/sweeps?host={host}\n")
    for file in (passfile, servicefile, urlfile):
        file.chmod(0o600)
    plain = f"postgresql://me@/sweeps?host={host}"
    return {
        "user:password@": {"STALESWEEP_DB": f"postgresql://me:{secret}@/sweeps?host={host}"},
        "every character escaped": {"STALESWEEP_DB": f"postgresql://me:{escaped}@/sweeps?host={host}"},
        "?password=": {"STALESWEEP_DB": f"{plain}&password={quote_plus(password)}"},
        "?user=&password=": {"STALESWEEP_DB": f"postgres:///sweeps?host={host}&user=me&password={secret}"},
        "&sslpassword=": {"STALESWEEP_DB": f"postgresql://me:{secret}@/sweeps?host={host}&sslpassword=wonderland"},
        "&options=": {
            "STALESWEEP_DB": f"postgresql://me:{secret}@/sweeps?host={host}&options=-c%20my.password%3Ds3same"
        },
        "?passfile=": {"STALESWEEP_DB": f"{plain}&passfile={passfile}"},
        "PGPASSFILE": {"STALESWEEP_DB": plain, "PGPASSFILE": str(passfile)},
        "service": {"STALESWEEP_DB": "postgresql:///?service=mine", "PGSERVICEFILE": str(servicefile)},
        "STALESWEEP_DB_FILE": {"STALESWEEP_DB_FILE": str(urlfile)},
    }[name]


FORMS = (
    "user:password@", "every character escaped", "?password=", "?user=&password=", "&sslpassword=", "&options=",
    "?passfile=", "PGPASSFILE", "service", "STALESWEEP_DB_FILE",
)  # fmt: skip


def shows_nothing(text: str) -> None:
    for part in PARTS:
        assert part not in text

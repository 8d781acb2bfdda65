"""The program under test, and databases for it."""

import json
import os
import sqlite3
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from schema import SQLITE, Schema


class NoAnswer(Exception):
    """The program has failed, where it must answer."""


@dataclass
class Answer:
    code: int
    lines: list[dict]
    error: dict | None

    @property
    def one(self) -> dict:
        if not self.lines:
            raise NoAnswer(f"it answers nothing: {self.error}")
        return self.lines[0]


PATIENCE = 60
"""Seconds. Each history has a few dozen events."""


class Hangs(Exception):
    """The program does not end."""


class Program:
    """`ebb` on one database."""

    def __init__(self, path: str, database: str):
        self.command = [path, "--json", "-d", database]

    def run(self, *arguments: str, lines: list[dict] | None = None) -> Answer:
        try:
            done = subprocess.run(
                [*self.command, *arguments],
                input="\n".join(json.dumps(line) for line in lines or []),
                capture_output=True,
                text=True,
                timeout=PATIENCE,
            )
        except subprocess.TimeoutExpired as expired:
            raise Hangs(f"{' '.join(expired.cmd)} does not end") from None
        errors = [json.loads(line)["error"] for line in done.stderr.splitlines() if line.startswith('{"error"')]
        if done.returncode not in (0, 1, 3, 4) or done.returncode == 1 and not errors:
            raise AssertionError(f"{arguments} ended with {done.returncode}: {done.stderr}")
        return Answer(done.returncode, [json.loads(line) for line in done.stdout.splitlines()], errors[0] if errors else None)


class Databases:
    """Makes one database after the other."""

    def __init__(self, path: str, server: str | None):
        self.path = path
        self.server = server
        self.directory = tempfile.TemporaryDirectory(prefix="ebb-oracle")
        self.count = 0
        if server:
            self._sql("postgres", f"CREATE DATABASE {self._name('template')}")
            self._init(self._address(self._name("template")))

    def fresh(self, schema: Schema) -> Program:
        self.count += 1
        definitions = schema.sql()
        if schema.backend == SQLITE:
            file = Path(self.directory.name) / f"{self.count}.db"
            with sqlite3.connect(file) as connection:
                connection.executescript(definitions)
            connection.close()
            self._init(str(file))
            return Program(self.path, str(file))
        name = self._name(str(self.count))
        self._sql("postgres", f"CREATE DATABASE {name} TEMPLATE {self._name('template')}")
        self._sql(name, definitions)
        return Program(self.path, self._address(name))

    def alter(self, sql: str) -> None:
        """Changes the schema of the last one made."""
        if self.server:
            self._sql(self._name(str(self.count)), sql)
        else:
            with sqlite3.connect(Path(self.directory.name) / f"{self.count}.db") as connection:
                connection.executescript(sql)
            connection.close()

    def remove(self) -> None:
        """Removes the last one made."""
        if self.server:
            self._sql("postgres", f"DROP DATABASE {self._name(str(self.count))} WITH (FORCE)")
        else:
            for file in Path(self.directory.name).iterdir():
                file.unlink()

    def close(self) -> None:
        if self.server:
            self._sql("postgres", f"DROP DATABASE {self._name('template')} WITH (FORCE)")
        self.directory.cleanup()

    def _name(self, which: str) -> str:
        return f"oracle_{os.getpid()}_{which}"

    def _address(self, database: str) -> str:
        return f"{self.server.rsplit('/', 1)[0]}/{database}"

    def _init(self, address: str) -> None:
        subprocess.run([self.path, "-d", address, "init"], check=True, capture_output=True)

    def _sql(self, database: str, sql: str) -> None:
        psql = Path(os.environ.get("EBB_TEST_PROGRAMS", "")) / "psql"
        command = [str(psql), "--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", "--file=-", self._address(database)]
        subprocess.run(command, input=sql, text=True, check=True, capture_output=True)

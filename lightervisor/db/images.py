"""Rows of images and their aliases."""

import sqlite3
from collections.abc import Sequence
from datetime import datetime

import msgspec

from lightervisor.db.database import Database
from lightervisor.errors import Conflict, Failure, Invalid, NotFound
from lightervisor.model.image import Image, ImageAlias, ImageAliasesEntry, ImageSource

COLUMNS = (
    "fingerprint, filename, size, public, cached, auto_update, architecture, created_at, expires_at, uploaded_at, "
    "last_used_at, properties, profiles, source"
)


class ImageRows:
    """All SQL about images."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, fingerprint: str, *, public_only: bool = False) -> Image:
        """The image whose fingerprint begins so. Raises NotFound, and Invalid when several do."""
        found = self._database.reader.execute(
            f"select {COLUMNS} from images where substr(fingerprint, 1, ?) = ? and public >= ? limit 2",
            (len(fingerprint), fingerprint, int(public_only)),
        ).fetchall()
        if not found or not fingerprint:
            raise NotFound("image", fingerprint)
        if len(found) > 1:
            raise Invalid("image", fingerprint, text="More than one image matches the given fingerprint")
        return self._image(found[0])

    def list(self) -> list[Image]:
        """All images, by fingerprint."""
        rows = self._database.reader.execute(f"select {COLUMNS} from images order by fingerprint").fetchall()
        return [self._image(row) for row in rows]

    def _image(self, row: sqlite3.Row) -> Image:
        aliases = self._database.reader.execute(
            "select name, description from image_aliases where fingerprint = ? order by name", (row[0],)
        ).fetchall()
        return Image(
            fingerprint=row[0],
            filename=row[1],
            size=row[2],
            public=bool(row[3]),
            cached=bool(row[4]),
            auto_update=bool(row[5]),
            architecture=row[6],
            created_at=datetime.fromisoformat(row[7]),
            expires_at=datetime.fromisoformat(row[8]),
            uploaded_at=datetime.fromisoformat(row[9]),
            last_used_at=datetime.fromisoformat(row[10]),
            properties=msgspec.json.decode(row[11]),
            profiles=msgspec.json.decode(row[12]),
            update_source=msgspec.json.decode(row[13], type=ImageSource) if row[13] else msgspec.UNSET,
            type="container",
            aliases=[ImageAlias(name=name, description=text) for name, text in aliases],
        )

    def has(self, fingerprint: str) -> bool:
        """Whether there is an image of exactly this fingerprint."""
        query = "select 1 from images where fingerprint = ?"
        return self._database.reader.execute(query, (fingerprint,)).fetchone() is not None

    async def mark_used(self, fingerprint: str, moment: datetime) -> None:
        """Note when an image was last used; nothing happens when it is gone."""
        query = "update images set last_used_at = ? where fingerprint = ?"
        await self._database.write(lambda connection: connection.execute(query, (moment.isoformat(), fingerprint)))

    async def add(self, image: Image) -> None:
        """Store a new image with its aliases. Fails with LXD's text when it is there already."""

        def insert(connection: sqlite3.Connection) -> None:
            marks = ", ".join("?" * 14)
            connection.execute(f"insert into images ({COLUMNS}) values ({marks})", _values(image))
            connection.executemany(
                "insert into image_aliases (name, description, fingerprint) values (?, ?, ?)",
                [(alias.name, alias.description, image.fingerprint) for alias in image.aliases],
            )

        try:
            await self._database.write(insert)
        except sqlite3.IntegrityError as error:
            if "image_aliases" in str(error):
                raise Conflict("image alias", text="Alias already exists") from error
            text = "Image with same fingerprint already exists"
            raise Failure("image", image.fingerprint, text=text) from error

    async def replace(self, image: Image) -> None:
        """Store all of an image's own fields again."""
        sets = ", ".join(f"{column.strip()} = ?" for column in COLUMNS.split(","))
        values = (*_values(image), image.fingerprint)
        query = f"update images set {sets} where fingerprint = ?"
        await self._database.write(lambda connection: connection.execute(query, values))

    async def delete(self, fingerprint: str) -> None:
        """Forget an image and its aliases."""
        query = "delete from images where fingerprint = ?"
        await self._database.write(lambda connection: connection.execute(query, (fingerprint,)))

    def alias(self, name: str) -> ImageAliasesEntry:
        """One alias. Raises NotFound."""
        query = "select name, description, fingerprint from image_aliases where name = ?"
        found = self._database.reader.execute(query, (name,)).fetchone()
        if found is None:
            raise NotFound("image alias", name)
        return ImageAliasesEntry(name=found[0], description=found[1], target=found[2], type="container")

    def aliases(self) -> Sequence[ImageAliasesEntry]:
        """All aliases, by name."""
        rows = self._database.reader.execute("select name, description, fingerprint from image_aliases order by name")
        return [ImageAliasesEntry(name=r[0], description=r[1], target=r[2], type="container") for r in rows.fetchall()]

    async def add_alias(self, entry: ImageAliasesEntry) -> None:
        """Store a new alias. Raises Conflict when the name is taken, NotFound for an unknown target."""
        target = self.get(entry.target).fingerprint
        query = "insert into image_aliases (name, description, fingerprint) values (?, ?, ?)"
        try:
            await self._database.write(lambda c: c.execute(query, (entry.name, entry.description, target)))
        except sqlite3.IntegrityError as error:
            raise Conflict("image alias", entry.name, text=f'Alias "{entry.name}" already exists') from error

    async def replace_alias(self, name: str, new_name: str, description: str, target: str) -> None:
        """Change an alias. Raises Conflict when its new name is taken, NotFound for an unknown target."""
        self.alias(name)
        fingerprint = self.get(target).fingerprint
        query = "update image_aliases set name = ?, description = ?, fingerprint = ? where name = ?"
        try:
            await self._database.write(lambda c: c.execute(query, (new_name, description, fingerprint, name)))
        except sqlite3.IntegrityError as error:
            raise Conflict("image alias", new_name, text=f'Alias "{new_name}" already exists') from error

    async def move_aliases(self, old: str, new: str) -> None:
        """Let the aliases of one image stand for another."""
        query = "update image_aliases set fingerprint = ? where fingerprint = ?"
        await self._database.write(lambda c: c.execute(query, (new, old)))

    async def delete_alias(self, name: str) -> None:
        """Forget an alias. Raises NotFound."""
        self.alias(name)
        await self._database.write(lambda c: c.execute("delete from image_aliases where name = ?", (name,)))


def _values(image: Image) -> tuple[str | int, ...]:
    source = image.update_source
    return (
        image.fingerprint, image.filename, image.size, image.public, image.cached, image.auto_update,
        image.architecture, image.created_at.isoformat(), image.expires_at.isoformat(), image.uploaded_at.isoformat(),
        image.last_used_at.isoformat(), msgspec.json.encode(image.properties, order="deterministic").decode(),
        msgspec.json.encode(image.profiles or ["default"]).decode(),
        msgspec.json.encode(source).decode() if isinstance(source, ImageSource) else "",
    )  # fmt: skip

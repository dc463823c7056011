"""The settings of reading tables, which are the same for training and for scoring."""

from typing import ClassVar

from pydantic import ConfigDict, Field, field_validator

from sentiment.data.encodings import UTF8, encoding_named
from sentiment.data.labels import Labels
from sentiment.settings import Settings


class TableConfig(Settings):
    """Which columns of a table are read, and how a text file becomes a table."""

    model_config = ConfigDict(coerce_numbers_to_str=True)  # columns may be numbers

    SECTION: ClassVar[str] = ""  # what precedes a setting's name

    columns: tuple[str, ...] = Field(
        (), description="Text columns of a table, joined in this order; found by name if empty."
    )
    label_column: str | None = Field(None, description="Label column of a table.")
    labels: Labels = Field(
        default_factory=Labels,
        description="What the values of the label column mean; 0 and 1 if empty.",
    )
    separator: str | None = Field(
        None, description="Field separator of .csv and .tsv; detected if null."
    )
    header: bool = Field(
        True, description="The first row names the columns; if not, they are numbered from 1."
    )
    quotes: bool = Field(
        True, description="Quotes may enclose fields of .csv and .tsv; if not, they are text."
    )
    encoding: str = Field(
        UTF8, description="Encoding of text files. UTF-16 needs no setting if it has its mark."
    )

    @field_validator("separator")
    @classmethod
    def _is_one_character(cls, separator: str | None) -> str | None:
        if separator is None:
            return None
        separator = {"tab": "\t", "\\t": "\t"}.get(separator, separator)
        if len(separator) != 1 or separator in '"\r\n' or separator.isalnum():
            raise ValueError("one character is needed, such as ; or | or tab, and no quote")
        return separator

    @field_validator("encoding")
    @classmethod
    def _is_known(cls, encoding: str) -> str:
        return encoding_named(encoding)

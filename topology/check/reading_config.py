"""What is found while a configuration, or a board module, is read and laid over the sources."""

from __future__ import annotations

from .rule import Rule

_LEFT_OUT = (
    "This program leaves out what it cannot use of the option, and goes on; QNX documents no message of smmuman."
)
_STOPS = "This program reads no further; QNX documents no message of smmuman."

RULES = (
    Rule(
        "CONFIG-OPEN", "error", "a configuration cannot be opened", "docs/smmu-config.md",
        "The memory that it grants, and the devices that it names, are not known.",
        _STOPS,
        "name a file that is there and that may be read",
    ),
    Rule(
        "CONFIG-TEXT", "error", "a configuration is no text", "docs/smmu-config.md",
        "Nothing of it can be believed.",
        _STOPS,
        "save it as UTF-8 text",
    ),
    Rule(
        "CONFIG-LARGE", "error", "a configuration is too large", "docs/smmu-config.md",
        "What stands after the limit does not hold.",
        _STOPS,
        "split it, or leave out what is not needed",
    ),
    Rule(
        "CONFIG-WRITE", "error", "a configuration cannot be written", "docs/smmu-config.md",
        "None: the file stays as it was.",
        "No other program writes it.",
        "allow writing to the file and its folder",
    ),
    Rule(
        "CONFIG-MORE", "error", "a configuration has more errors than are listed", "docs/smmu-config.md",
        "Much of it does not hold.",
        _STOPS,
        "mend what is listed first, and check again",
    ),
    Rule(
        "CONFIG-INCLUDE", "error", "a file cannot be included", "docs/smmu-config.md",
        "What it says of devices and memory does not hold.",
        _LEFT_OUT,
        "name a file that is there, and that does not include the one that names it",
    ),
    Rule(
        "CONFIG-OPTION", "error", "a word is no option", "docs/smmu-config.md",
        "What was meant by it does not hold: a misspelt 'reserved' protects nothing.",
        _LEFT_OUT,
        "write one of the options that docs/smmu-config.md names",
    ),
    Rule(
        "CONFIG-MISSING", "error", "an option is not complete", "docs/smmu-config.md",
        "The option does not hold.",
        _LEFT_OUT,
        "add the words or fields that are missing",
    ),
    Rule(
        "CONFIG-EXTRA", "error", "an option has a word or field too many", "docs/smmu-config.md",
        "What the word was meant to say does not hold.",
        _LEFT_OUT,
        "take it away, or write it where it belongs",
    ),
    Rule(
        "CONFIG-ORDER", "error", "an option stands before what it depends on", "docs/smmu-config.md",
        "The option belongs to nothing and does not hold.",
        _LEFT_OUT,
        "write 'smmu' before its units, and 'device' before what it uses",
    ),
    Rule(
        "CONFIG-TYPE", "error", "there is no such type of unit", "docs/smmu-config.md",
        "The units below it cannot be programmed.",
        _LEFT_OUT,
        "write one of the types that docs/smmu-config.md names",
    ),
    Rule(
        "CONFIG-NAME", "error", "a word is no name", "docs/smmu-config.md",
        "Nothing can refer to what it names.",
        _LEFT_OUT,
        "write a word without commas, and without a dash before it",
    ),
    Rule(
        "CONFIG-NUMBER", "error", "a word is no number", "docs/smmu-config.md",
        "The address, size or ID is not known, so the option does not hold.",
        _LEFT_OUT,
        "write hexadecimal addresses and decimal sizes, or 0x and 0d before the number",
    ),
    Rule(
        "CONFIG-RANGE", "error", "a number, or a range, cannot be", "docs/smmu-config.md",
        "A region or range of IDs is not the one that was meant.",
        _LEFT_OUT,
        "write the first before the last, within the range that is named",
    ),
    Rule(
        "CONFIG-VALUE", "error", "a field has none of the values that it can have", "docs/smmu-config.md",
        "What the field was meant to say does not hold.",
        _LEFT_OUT,
        "write one of the values that are named",
    ),
    Rule(
        "CONFIG-DEVICE", "error", "a word names no device", "docs/smmu-config.md",
        "The device is not in the hands of smmuman: it keeps the memory that firmware gives it.",
        _LEFT_OUT,
        "write it as docs/smmu-config.md says, such as pci:0:2:1.0",
    ),
    Rule(
        "CONFIG-UNIT", "error", "a device uses a unit that is not there", "docs/smmu-config.md",
        "The device is behind no unit of the configuration.",
        _LEFT_OUT,
        "define the unit above the device, or write its name as it is defined",
    ),
    Rule(
        "CONFIG-SET", "error", "a device has a set of memory that is not there", "docs/smmu-config.md",
        "The device is granted no memory.",
        _LEFT_OUT,
        "define the 'allow' of this name, or write the name as it is defined",
    ),
    Rule(
        "CONFIG-TWICE", "error", "something is named twice", "docs/smmu-config.md",
        "Which of the two holds depends on who reads it.",
        _LEFT_OUT,
        "name it once",
    ),
    Rule(
        "CONFIG-ABSENT", "warning", "a device of a configuration is named by no source", "",
        "If the name is misspelt, the device that was meant keeps the memory that firmware gives it.",
        "This program adds the device as the configuration describes it.",
        "write the name as the sources have it; 'iommuman dump' lists them",
    ),
    Rule(
        "CONFIG-CONFLICT", "warning", "a configuration differs from what the sources say", "",
        "One of the two is wrong about which unit a device is behind.",
        "This program takes the word of the configuration, and with --keep that of the sources.",
        "correct whichever is wrong",
    ),
    Rule(
        "CONFIG-NOT-PCI", "error", "a device that is no PCI function uses a unit that controls nothing else",
        "docs/smmu-config.md",
        "The device is behind no unit.",
        _LEFT_OUT,
        "name the unit that the device is behind",
    ),
    Rule(
        "CONFIG-RANGE-USE", "error", "what a range of functions uses cannot be", "docs/configuration.md",
        "The functions are not behind the unit, or have not the IDs, that were meant.",
        _LEFT_OUT,
        "give one unit, and as many IDs as functions, or one for all",
    ),
    Rule(
        "CONFIG-REQUIRE", "error", "firmware does not declare the units that a configuration requires", "",
        "The units are not those of this machine's firmware.",
        "smmuman is asked not to start then.",
        "give the table, or write no 'require'",
    ),
    Rule(
        "CONFIG-SHARED", "note", "a reserved region stays for an ID that another device sends as well", "",
        "The other device reaches the region too.",
        "The unit cannot tell the two apart.",
        "reserve the region for both, or for neither",
    ),
    Rule(
        "CONFIG-USE-ID", "error", "a device uses a unit with an ID that the unit cannot have, or without one",
        "docs/smmu-config.md",
        "The device is behind no unit of the configuration.",
        _LEFT_OUT,
        "write an ID for units that need one, and none for the others",
    ),
    Rule(
        "BOARD-ABSENT", "error", "there is no board module of a name", "",
        "What the module says of units and devices is not known.",
        _STOPS,
        "write the name as it is installed, or the path of its file",
    ),
    Rule(
        "BOARD-ENTRY-POINT", "error", "a board module that is a program does not give a configuration", "",
        "What the module says of units and devices is not known.",
        _STOPS,
        "correct the entry point in the group iommuman.boards",
    ),
    Rule(
        "BOARD-OPEN", "error", "a board module cannot be opened", "",
        "What the module says of units and devices is not known.",
        _STOPS,
        "name a file that is there and that may be read",
    ),
    Rule(
        "BOARD-SIZE", "error", "a board module is too large", "",
        "What the module says of units and devices is not known.",
        _STOPS,
        "describe one board in it",
    ),
    Rule(
        "BOARD-TOML", "error", "a board module is no TOML", "",
        "What the module says of units and devices is not known.",
        _STOPS,
        "correct the line that is named",
    ),
    Rule(
        "BOARD-KEY", "error", "a key of a board module is not known", "",
        "What the key was meant to say does not hold.",
        _LEFT_OUT,
        "write one of the keys that are named",
    ),
    Rule(
        "BOARD-MISSING", "error", "a key of a board module is missing", "",
        "The unit or device does not hold.",
        _LEFT_OUT,
        "add the key",
    ),
    Rule(
        "BOARD-VALUE", "error", "a value of a board module cannot be used", "",
        "What the key was meant to say does not hold.",
        _LEFT_OUT,
        "write a value of the kind that is named",
    ),
    Rule(
        "BOARD-NOTE", "note", "a board module says something to people", "",
        "None that a program could tell.",
        "Systems do not read it.",
        "read it",
    ),
    Rule(
        "BOARD-GROUP", "note", "devices of a board module have one ID for all of them", "",
        "The unit cannot tell them apart.",
        "The unit translates all of them by one table.",
        "grant them memory together",
    ),
)  # fmt: skip

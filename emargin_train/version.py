"""The version of all three packages."""

VERSION = "0.1.0"

"""The tensor method against EM from random starts: the sweep behind docs/gridlock.md."""

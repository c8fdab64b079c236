"""The commands in a page of Markdown, run by a test as they stand there."""

import re


class Document:
    """Blocks of shell commands, each after a comment `<!-- run: NAME -->`."""

    def __init__(self, path):
        text = path.read_text()
        self.name = path.name
        self.blocks = dict(re.findall(r"<!-- run: (.+?) -->\n```sh\n(.*?)```", text, re.S))
        fenced = len(re.findall(r"^```(?:sh|shell|bash|console)$", text, re.M))
        if fenced != len(self.blocks):
            raise AssertionError(f"{path}: {fenced} blocks of commands, {len(self.blocks)} with a name")
        self.left = set(self.blocks)

    def take(self, name, replaced=None):
        """The commands of a block. What is replaced must be there."""
        commands = self.blocks[name]
        for old, new in (replaced or {}).items():
            if old not in commands:
                raise AssertionError(f"{self.name}: '{name}' has no '{old}' to replace")
            commands = commands.replace(old, new)
        self.left.discard(name)
        return commands

    def is_done(self):
        """Every block has been run."""
        if self.left:
            raise AssertionError(f"{self.name}: no test has run {sorted(self.left)}")

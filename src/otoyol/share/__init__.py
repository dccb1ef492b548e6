"""Sharing: a network as one folder that anybody can check, load and serve; nothing in it is ever unpickled.

Importing this imports nothing heavy; torch is loaded when there is a network to build.
"""

from otoyol.share.folder import About, Folder, read_folder
from otoyol.share.hub import pull, push
from otoyol.share.load import load
from otoyol.share.pack import Network, Packed, pack

__all__ = ["About", "Folder", "Network", "Packed", "load", "pack", "pull", "push", "read_folder"]

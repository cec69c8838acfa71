"""A template that makes the resources of a group again: the answer of a resource group's `exportTemplate`. Pure.

    wanted = asked(body)                                     # which resources and options; refuses what is not offered
    answer = exported(group_id, documents, wanted.options)   # {"template": …}, with "error" when something was left out
"""

from lazur.providers.resources.export.request import Asked, asked
from lazur.providers.resources.export.writer import Document, exported

__all__ = ["Asked", "Document", "asked", "exported"]

"""Every documented template function, one module per family of Azure's documentation.

Importing this package fills `FUNCTIONS`. A function must never look outside its arguments and its `Frame`.
"""

from lazur.providers.resources.template.functions import (
    array,
    cidr,
    collection,
    comparison,
    date,
    deployment,
    lambdas,
    logical,
    numeric,
    object,
    resource,
    scopes,
    string,
    text,
)
from lazur.providers.resources.template.functions.registry import FUNCTIONS, is_function, lookup

__all__ = [
    "FUNCTIONS",
    "array",
    "cidr",
    "collection",
    "comparison",
    "date",
    "deployment",
    "is_function",
    "lambdas",
    "logical",
    "lookup",
    "numeric",
    "object",
    "resource",
    "scopes",
    "string",
    "text",
]

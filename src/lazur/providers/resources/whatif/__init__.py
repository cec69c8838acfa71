"""What a deployment would change, told before it runs: the answer of `whatIf`. Pure.

    shapes = Shapes(registry)
    found = steps(expansion, world)                          # template.deep: nested templates looked into
    result = what_if(found, current, shapes, others=…, complete=False, full=True)

`current` gives the customer's own document of a resource as it stands, so that what the cloud adds by itself (addresses it
chose, states, sizes it reports) never looks like a change.
"""

from lazur.providers.resources.whatif.changes import Current, failed, what_if
from lazur.providers.resources.whatif.delta import delta
from lazur.providers.resources.whatif.shapes import Shapes

__all__ = ["Current", "Shapes", "delta", "failed", "what_if"]

"""Microsoft.Insights: what this provider offers. Must never hold behaviour."""

from lazur.model.registry import Provider, Route
from lazur.providers.insights.activity_log import activity_log, event_categories

_READ = "Microsoft.Insights/eventtypes/values/Read"
PROVIDER = Provider(
    "Microsoft.Insights",
    [],
    (
        Route("GET", ("subscription",), "eventtypes/management/values", _READ, activity_log),
        Route("GET", ("tenant",), "eventcategories", None, event_categories),
    ),
)

"""Microsoft.Compute: what this provider offers. Must never hold behaviour."""

from lazur.model.registry import Provider, Route
from lazur.providers.compute import sizes
from lazur.providers.compute.availability_sets.resource import AvailabilitySet
from lazur.providers.compute.disks.resource import Disk
from lazur.providers.compute.virtual_machines.resource import VirtualMachine

_HERE = ("subscription",)
_AT = "locations/(?P<location>[^/]+)"
_IMAGES = f"{_AT}/publishers"
_OFFERS = f"{_IMAGES}/(?P<publisher>[^/]+)/artifacttypes/vmimage/offers"
_SKUS = f"{_OFFERS}/(?P<offer>[^/]+)/skus"
_VERSIONS = f"{_SKUS}/(?P<sku>[^/]+)/versions"
_READ = "Microsoft.Compute/locations/publishers/read"

PROVIDER = Provider(
    "Microsoft.Compute",
    [AvailabilitySet, Disk, VirtualMachine],
    (
        Route("GET", _HERE, f"{_AT}/vmSizes", "Microsoft.Compute/locations/vmSizes/read", sizes.list_sizes),
        Route("GET", _HERE, f"{_AT}/usages", "Microsoft.Compute/locations/usages/read", sizes.list_usages),
        Route("GET", _HERE, "skus", "Microsoft.Compute/skus/read", sizes.list_skus),
        Route("GET", _HERE, _IMAGES, _READ, sizes.list_publishers),
        Route("GET", _HERE, _OFFERS, _READ, sizes.list_offers),
        Route("GET", _HERE, _SKUS, _READ, sizes.list_image_skus),
        Route("GET", _HERE, _VERSIONS, _READ, sizes.list_versions),
        Route("GET", _HERE, f"{_VERSIONS}/(?P<version>[^/]+)", _READ, sizes.get_version),
    ),
)

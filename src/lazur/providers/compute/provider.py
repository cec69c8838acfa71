"""Microsoft.Compute: what this provider offers. Must never hold behaviour."""

from lazur.model.registry import DataRoute, Provider
from lazur.providers.compute import sizes
from lazur.providers.compute.availability_sets.resource import AvailabilitySet
from lazur.providers.compute.disks.resource import Disk
from lazur.providers.compute.virtual_machines.resource import VirtualMachine

_IMAGES = "publishers"
_OFFERS = f"{_IMAGES}/(?P<publisher>[^/]+)/artifacttypes/vmimage/offers"
_SKUS = f"{_OFFERS}/(?P<offer>[^/]+)/skus"
_VERSIONS = f"{_SKUS}/(?P<sku>[^/]+)/versions"
_READ = "Microsoft.Compute/locations/publishers/read"

PROVIDER = Provider(
    "Microsoft.Compute",
    [AvailabilitySet, Disk, VirtualMachine],
    (
        DataRoute("location", "vmSizes", sizes.list_sizes, "Microsoft.Compute/locations/vmSizes/read"),
        DataRoute("location", "usages", sizes.list_usages, "Microsoft.Compute/locations/usages/read"),
        DataRoute("subscription", "skus", sizes.list_skus, "Microsoft.Compute/skus/read"),
        DataRoute("location", _IMAGES, sizes.list_publishers, _READ),
        DataRoute("location", _OFFERS, sizes.list_offers, _READ),
        DataRoute("location", _SKUS, sizes.list_image_skus, _READ),
        DataRoute("location", _VERSIONS, sizes.list_versions, _READ),
        DataRoute("location", f"{_VERSIONS}/(?P<version>[^/]+)", sizes.get_version, _READ),
    ),
)

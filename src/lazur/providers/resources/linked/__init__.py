"""Templates and parameter files that a deployment names by a link instead of holding them.

    link = template_link(properties["templateLink"], parent=parent_link)     # pure: which URL is meant
    found = await linked_template(link, fetch)                               # `fetch` guards what may be asked
    found.template, found.locate, found.link                                 # keep link.uri; link.query may be a secret
    parameters = await linked_parameters(properties["parametersLink"], fetch)
"""

from lazur.providers.resources.linked.links import Link, parse_parameters, template_link
from lazur.providers.resources.linked.load import LinkedTemplate, linked_parameters, linked_template

__all__ = ["Link", "LinkedTemplate", "linked_parameters", "linked_template", "parse_parameters", "template_link"]

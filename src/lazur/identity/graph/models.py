"""The bodies Graph accepts for users, groups, applications and service principals: every property that can be set.

Names, nesting and defaults are those of Microsoft Graph v1.0. Must never accept a property that would then be ignored:
what is unknown or read-only is refused, all faults at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from lazur.identity.graph.errors import all_bad, bad
from lazur.kernel.errors import LazurError

T = TypeVar("T", bound="GraphModel")
E = TypeVar("E")


def _time(text: str) -> str:
    """Graph's form of a moment, in UTC and without fractions."""
    moment = datetime.fromisoformat(text)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


Guid = Annotated[str, Field(pattern="^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$"), AfterValidator(str.lower)]
Time = Annotated[str, AfterValidator(_time)]
Name = Annotated[str, Field(min_length=1, max_length=256)]
Label = Annotated[str, Field(max_length=256)]
# What Entra lets a manifest have altogether is here what any list of it may have.
Items = Annotated[list[E], Field(max_length=1200)]
CREDENTIALS_AT_MOST = 100
Credentials = Annotated[list[E], Field(max_length=CREDENTIALS_AT_MOST)]
_KEY_AT_MOST = 32 * 1024


class GraphModel(BaseModel):
    """A body or a part of one; properties are spelt in camelCase."""

    model_config = ConfigDict(strict=True, extra="forbid", alias_generator=to_camel, frozen=True)


class PasswordProfile(GraphModel):
    """A new password of a user."""

    password: str | None = None
    force_change_password_next_sign_in: bool = True
    force_change_password_next_sign_in_with_mfa: bool = False


class EmployeeOrgData(GraphModel):
    """Where in the organisation."""

    cost_center: str | None = None
    division: str | None = None


class UserBody(GraphModel):
    """A user. The password and the name people sign in with are kept apart."""

    account_enabled: bool
    display_name: Name
    mail_nickname: Annotated[str, Field(min_length=1, max_length=64)]
    user_principal_name: Annotated[str, Field(max_length=113)]
    password_profile: PasswordProfile | None = None
    age_group: str | None = None
    business_phones: Items[str] = []
    city: str | None = None
    company_name: str | None = None
    consent_provided_for_minor: str | None = None
    country: str | None = None
    department: str | None = None
    employee_hire_date: Time | None = None
    employee_id: str | None = None
    employee_org_data: EmployeeOrgData | None = None
    employee_type: str | None = None
    fax_number: str | None = None
    given_name: str | None = None
    job_title: str | None = None
    mail: str | None = None
    mobile_phone: str | None = None
    office_location: str | None = None
    on_premises_immutable_id: str | None = None
    other_mails: Items[str] = []
    password_policies: str | None = None
    postal_code: str | None = None
    preferred_language: str | None = None
    show_in_address_list: bool | None = None
    state: str | None = None
    street_address: str | None = None
    surname: str | None = None
    usage_location: Annotated[str, Field(pattern="^[A-Za-z]{2}$")] | None = None
    user_type: Annotated[str, Field(pattern="^(Member|Guest)$")] = "Member"


class GroupBody(GraphModel):
    """A security group."""

    display_name: Name
    mail_enabled: bool
    mail_nickname: Annotated[str, Field(min_length=1, max_length=64)]
    security_enabled: bool
    classification: str | None = None
    description: Annotated[str, Field(max_length=1024)] | None = None
    group_types: Items[str] = []
    is_assignable_to_role: bool | None = None
    membership_rule: str | None = None
    membership_rule_processing_state: str | None = None
    preferred_data_location: str | None = None
    preferred_language: str | None = None
    resource_behavior_options: Items[str] = []
    resource_provisioning_options: Items[str] = []
    theme: str | None = None
    visibility: str | None = None


class PasswordCredential(GraphModel):
    """A secret. `secretText` is only ever sent by us."""

    custom_key_identifier: str | None = None
    display_name: Label | None = None
    end_date_time: Time | None = None
    hint: str | None = None
    key_id: Guid | None = None
    secret_text: None = None
    start_date_time: Time | None = None


class KeyCredential(GraphModel):
    """A certificate: `key` is its DER in base64; null for one that is there already under `keyId`."""

    custom_key_identifier: str | None = None
    display_name: Label | None = None
    end_date_time: Time | None = None
    key: Annotated[str, Field(max_length=_KEY_AT_MOST)] | None = None
    key_id: Guid | None = None
    start_date_time: Time | None = None
    type: str = "AsymmetricX509Cert"
    usage: str = "Verify"


class AppRole(GraphModel):
    """A role an application defines."""

    allowed_member_types: Annotated[Items[str], Field(min_length=1)]
    description: str | None = None
    display_name: str | None = None
    id: Guid
    is_enabled: bool = True
    origin: str | None = "Application"
    value: str | None = None


class Scope(GraphModel):
    """A delegated permission an application defines."""

    admin_consent_description: str | None = None
    admin_consent_display_name: str | None = None
    id: Guid
    is_enabled: bool = True
    origin: str | None = None
    type: str | None = "User"
    user_consent_description: str | None = None
    user_consent_display_name: str | None = None
    value: str | None = None


class PreAuthorized(GraphModel):
    """A client that needs no consent."""

    app_id: Guid
    delegated_permission_ids: Items[str] = []


class Api(GraphModel):
    """What an application offers as an API."""

    accept_mapped_claims: bool | None = None
    known_client_applications: Items[Guid] = []
    oauth2_permission_scopes: Items[Scope] = []
    pre_authorized_applications: Items[PreAuthorized] = []
    requested_access_token_version: int | None = None


class ImplicitGrant(GraphModel):
    """Which tokens a browser application may be sent directly."""

    enable_access_token_issuance: bool = False
    enable_id_token_issuance: bool = False


class RedirectSetting(GraphModel):
    """A redirect address and its place in the order."""

    uri: str
    index: int | None = None


class Web(GraphModel):
    """A web application's addresses."""

    home_page_url: str | None = None
    implicit_grant_settings: ImplicitGrant = ImplicitGrant()
    logout_url: str | None = None
    redirect_uri_settings: Items[RedirectSetting] = []
    redirect_uris: Items[str] = []


class Platform(GraphModel):
    """The addresses of a browser or an installed application."""

    redirect_uris: Items[str] = []


class Access(GraphModel):
    """One permission of another application."""

    id: Guid
    type: str


class RequiredAccess(GraphModel):
    """What is needed of another application."""

    resource_access: Items[Access]
    resource_app_id: str


class Claim(GraphModel):
    """A claim asked for beyond the usual ones."""

    additional_properties: Items[str] = []
    essential: bool = False
    name: str
    source: str | None = None


class OptionalClaims(GraphModel):
    """Claims by kind of token."""

    access_token: Items[Claim] = []
    id_token: Items[Claim] = []
    saml2_token: Items[Claim] = []


class Info(GraphModel):
    """Where to read about an application."""

    logo_url: str | None = None
    marketing_url: str | None = None
    privacy_statement_url: str | None = None
    support_url: str | None = None
    terms_of_service_url: str | None = None


class ParentalControl(GraphModel):
    """For whom an application is meant."""

    countries_blocked_for_minors: Items[str] = []
    legal_age_group_rule: str = "Allow"


class ApplicationBody(GraphModel):
    """An application."""

    display_name: Name
    api: Api = Api()
    app_roles: Items[AppRole] = []
    default_redirect_uri: str | None = None
    description: Annotated[str, Field(max_length=1024)] | None = None
    group_membership_claims: str | None = None
    identifier_uris: Items[str] = []
    info: Info = Info()
    is_device_only_auth_supported: bool | None = None
    is_fallback_public_client: bool | None = None
    key_credentials: Credentials[KeyCredential] = []
    notes: Annotated[str, Field(max_length=1024)] | None = None
    oauth2_require_post_response: bool = False
    optional_claims: OptionalClaims | None = None
    parental_control_settings: ParentalControl = ParentalControl()
    password_credentials: Credentials[PasswordCredential] = []
    public_client: Platform = Platform()
    required_resource_access: Items[RequiredAccess] = []
    saml_metadata_url: str | None = None
    service_management_reference: str | None = None
    sign_in_audience: Annotated[
        str, Field(pattern="^(AzureADMyOrg|AzureADMultipleOrgs|AzureADandPersonalMicrosoftAccount)$")
    ] = "AzureADMyOrg"
    spa: Platform = Platform()
    tags: Items[str] = []
    web: Web = Web()


class SamlSingleSignOn(GraphModel):
    """Where a SAML sign-in ends."""

    relay_state: str | None = None


class ServicePrincipalBody(GraphModel):
    """A service principal."""

    app_id: Guid
    account_enabled: bool = True
    alternative_names: Items[str] = []
    app_role_assignment_required: bool = False
    description: str | None = None
    display_name: Name | None = None
    homepage: str | None = None
    key_credentials: Credentials[KeyCredential] = []
    login_url: str | None = None
    logout_url: str | None = None
    notes: Annotated[str, Field(max_length=1024)] | None = None
    notification_email_addresses: Items[str] = []
    password_credentials: Credentials[PasswordCredential] = []
    preferred_single_sign_on_mode: str | None = None
    preferred_token_signing_key_thumbprint: str | None = None
    saml_single_sign_on_settings: SamlSingleSignOn | None = None
    service_principal_type: Annotated[str, Field(pattern="^Application$")] = "Application"
    tags: Items[str] = []


class FederatedBody(GraphModel):
    """A federated credential."""

    name: Annotated[str, Field(pattern="^[A-Za-z0-9_-]{3,120}$")]
    issuer: Annotated[str, Field(min_length=1, max_length=600)]
    subject: Annotated[str, Field(min_length=1, max_length=600)]
    audiences: Annotated[list[str], Field(min_length=1, max_length=1)]
    description: Annotated[str, Field(max_length=600)] | None = None


class AssignmentBody(GraphModel):
    """An app role given to a principal."""

    app_role_id: Guid
    principal_id: Guid
    resource_id: Guid


class DirectoryAssignmentBody(GraphModel):
    """A directory role given to a principal, over the whole directory."""

    principal_id: Guid
    role_definition_id: Guid
    directory_scope_id: Annotated[str, Field(pattern="^/$")] = "/"
    resource_scope: Annotated[str, Field(pattern="^/$")] = "/"
    condition: None = None


def decoded(model: type[T], body: Mapping[str, Any], resource: str) -> T:
    """`body` as a `model`; annotations are dropped, null means the default, and all faults come at once."""
    try:
        return model.model_validate(_plain(body))
    except ValidationError as error:
        raise all_bad([_fault(row, resource) for row in error.errors(include_url=False)]) from None


def encoded(model: GraphModel, *, sparse: bool = False) -> dict[str, Any]:
    """The JSON form; `sparse` without what is as it would be anyway."""
    return model.model_dump(mode="json", by_alias=True, exclude_defaults=sparse)


def merged(old: Mapping[str, Any], patch: Mapping[str, Any]) -> dict[str, Any]:
    """`old` with what `patch` says; complex values are merged, lists replaced."""
    result = dict(old)
    for name, value in patch.items():
        before = result.get(name)
        both = isinstance(value, Mapping) and isinstance(before, Mapping)
        result[name] = merged(before, value) if both and isinstance(before, Mapping) else value
    return result


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {k: _plain(v) for k, v in value.items() if "@odata." not in k and v is not None}
    return [_plain(item) for item in value] if isinstance(value, list) else value


def _fault(row: Mapping[str, Any], resource: str) -> LazurError:
    path = ".".join(str(part) for part in row["loc"])
    if row["type"] == "missing":
        return bad(f"A value is required for property '{path}' of resource '{resource}'.", path)
    if row["type"] == "extra_forbidden":
        return bad(f"Invalid property '{path}': it does not exist on resource '{resource}' or cannot be set.", path)
    if row["type"] == "too_long":
        return bad(f"Property '{path}' of resource '{resource}' may have at most {row['ctx']['max_length']} entries.", path)
    return bad(f"Invalid value specified for property '{path}' of resource '{resource}'.", path)

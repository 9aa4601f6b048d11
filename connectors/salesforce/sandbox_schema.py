"""The sandbox's objects and fields, as a new org has them, with one custom external id on leads and contacts.

One line per field: name, type, then flags. `!` required on create, `r` read-only, `c` may be set on create only,
`u` unique external id, `n` not allowed in WHERE, `R` restricted picklist, `=a|b` picklist values, `->Obj` reference.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

_SYSTEM = """
Id id r
IsDeleted boolean r
CreatedDate datetime r
CreatedById reference r ->User
LastModifiedDate datetime r
SystemModstamp datetime r
"""

_PERSON = """
Salutation picklist =Mr.|Ms.|Mrs.|Dr.|Prof.
FirstName string(40)
LastName string(80) !
Name string(121) r
Email email(80)
Phone phone(40)
MobilePhone phone(40)
Title string(128)
LeadSource picklist =Web|Phone Inquiry|Partner Referral|Purchased List|Other
HasOptedOutOfEmail boolean
DoNotCall boolean
EmailBouncedReason string(255) r
EmailBouncedDate datetime r
OwnerId reference ->User
Description textarea(32000) n
Closedloop_Id__c string(36) u
HubSpot_Id__c string(50)
"""

_OBJECTS: dict[str, tuple[str, str]] = {
    "Lead": (
        "00Q",
        _PERSON
        + """
MasterRecordId reference r ->Lead
Company string(255) !
Website url(255)
Industry picklist =Agriculture|Banking|Consulting|Education|Engineering|Healthcare|Retail|Technology|Other
NumberOfEmployees int
AnnualRevenue currency
Rating picklist =Hot|Warm|Cold
Status picklist R =Open - Not Contacted|Working - Contacted|Closed - Converted|Closed - Not Converted
Street textarea(255)
City string(40)
State string(80)
PostalCode string(20)
Country string(80)
IsConverted boolean r
ConvertedDate date r
ConvertedContactId reference r ->Contact
ConvertedAccountId reference r ->Account
ConvertedOpportunityId reference r ->Opportunity
""",
    ),
    "Contact": (
        "003",
        _PERSON
        + """
MasterRecordId reference r ->Contact
AccountId reference ->Account
Department string(80)
MailingStreet textarea(255)
MailingCity string(40)
MailingState string(80)
MailingPostalCode string(20)
MailingCountry string(80)
Birthdate date
""",
    ),
    "Account": (
        "001",
        """
MasterRecordId reference r ->Account
Name string(255) !
Website url(255)
Phone phone(40)
Industry string(255)
NumberOfEmployees int
AnnualRevenue currency
BillingStreet textarea(255)
BillingCity string(40)
BillingState string(80)
BillingPostalCode string(20)
BillingCountry string(80)
OwnerId reference ->User
Description textarea(32000) n
""",
    ),
    "Opportunity": (
        "006",
        """
Name string(120) !
StageName picklist !
CloseDate date !
Amount currency
Probability percent
IsClosed boolean r
IsWon boolean r
ForecastCategoryName string(40) r
Type picklist =New Customer|Existing Customer - Upgrade
LeadSource picklist =Web|Phone Inquiry|Partner Referral|Purchased List|Other
AccountId reference ->Account
CampaignId reference ->Campaign
OwnerId reference ->User
Loss_Reason__c string(255)
LastStageChangeDate datetime r
""",
    ),
    "OpportunityContactRole": (
        "00K",
        """
OpportunityId reference c ! ->Opportunity
ContactId reference ! ->Contact
Role picklist =Decision Maker|Economic Buyer|Influencer|Other
IsPrimary boolean
""",
    ),
    "OpportunityStage": (
        "01J",
        """
MasterLabel string(255) r
ApiName string(255) r
IsActive boolean r
IsClosed boolean r
IsWon boolean r
SortOrder int r
DefaultProbability percent r
ForecastCategoryName string(40) r
""",
    ),
    "Campaign": (
        "701",
        """
Name string(80) !
Type picklist =Conference|Webinar|Email|Advertisement|Other
Status picklist =Planned|In Progress|Completed|Aborted
StartDate date
EndDate date
ActualCost currency
BudgetedCost currency
NumberSent double
IsActive boolean
OwnerId reference ->User
""",
    ),
    "CampaignMember": (
        "00v",
        """
CampaignId reference c ! ->Campaign
LeadId reference c ->Lead
ContactId reference c ->Contact
Status string(40)
HasResponded boolean r
FirstRespondedDate date r
""",
    ),
    "Task": (
        "00T",
        """
WhoId reference ->Contact
WhatId reference ->Account
Subject string(255)
Description textarea(32000) n
Status picklist ! =Not Started|In Progress|Completed|Waiting on someone else|Deferred
Priority picklist ! =High|Normal|Low
ActivityDate date
TaskSubtype string(40) c
OwnerId reference ->User
""",
    ),
    "Event": (
        "00U",
        """
WhoId reference ->Contact
WhatId reference ->Account
Subject string(255)
Description textarea(32000) n
ActivityDateTime datetime
DurationInMinutes int
Location string(255)
OwnerId reference ->User
""",
    ),
    "User": (
        "005",
        """
Username string(80) !
Name string(121) r
FirstName string(40)
LastName string(80) !
Email email(128) !
IsActive boolean
UserType string(40) r
""",
    ),
    "Organization": (
        "00D",
        """
Name string(80) r
IsSandbox boolean r
OrganizationType string(40) r
InstanceName string(5) r
""",
    ),
}

_WITHOUT_BIN = {"User", "Organization", "OpportunityStage"}
INDEXED = ("Email", "Closedloop_Id__c", "OpportunityId", "ContactId", "LeadId", "CampaignId", "WhoId", "AccountId")
STAGES = (
    ("Prospecting", False, False, 10, "Pipeline"),
    ("Qualification", False, False, 10, "Pipeline"),
    ("Proposal/Price Quote", False, False, 75, "Best Case"),
    ("Negotiation/Review", False, False, 90, "Commit"),
    ("Closed Won", True, True, 100, "Closed"),
    ("Closed Lost", True, False, 0, "Omitted"),
)


@dataclass(slots=True)
class FieldFacts:
    """One field; `hidden` is field-level security, which a test may switch."""

    name: str
    type: str
    length: int = 0
    required: bool = False
    create: bool = True
    update: bool = True
    unique: bool = False
    filterable: bool = True
    restricted: bool = False
    options: tuple[str, ...] = ()
    refers: str = ""
    hidden: bool = False


@dataclass(slots=True)
class ObjectFacts:
    name: str
    prefix: str
    fields: dict[str, FieldFacts]


def objects() -> dict[str, ObjectFacts]:
    """A fresh copy of the schema: sandboxes may change theirs."""
    made = {}
    for name, (prefix, lines) in _OBJECTS.items():
        fields = [_field(line) for line in (_SYSTEM + lines).splitlines() if line.strip()]
        if name in _WITHOUT_BIN:
            fields = [field for field in fields if field.name != "IsDeleted"]
        made[name] = ObjectFacts(name, prefix, {field.name: field for field in fields})
    return made


def _field(line: str) -> FieldFacts:
    head, _, options = line.partition(" =")
    name, kind, *flags = head.split()
    kind, _, length = kind.rstrip(")").partition("(")
    facts = FieldFacts(name, kind, int(length or 0), options=tuple(options.split("|")) if options else ())
    facts.required = "!" in flags
    facts.create = "r" not in flags
    facts.update = "r" not in flags and "c" not in flags
    facts.unique = "u" in flags
    facts.filterable = "n" not in flags
    facts.restricted = "R" in flags
    facts.refers = next((flag[2:] for flag in flags if flag.startswith("->")), "")
    return facts


_SOAP = {
    "id": "tns:ID",
    "reference": "tns:ID",
    "boolean": "xsd:boolean",
    "int": "xsd:int",
    "double": "xsd:double",
    "currency": "xsd:double",
    "percent": "xsd:double",
    "date": "xsd:date",
    "datetime": "xsd:dateTime",
}


_OBJECT_REST: dict[str, Any] = {
    **{name: [] for name in ("actionOverrides", "childRelationships", "namedLayoutInfos", "recordTypeInfos")},
    **dict.fromkeys(("compactLayoutable", "feedEnabled", "layoutable", "mruEnabled", "replicateable"), True),
    **dict.fromkeys(("retrieveable", "searchLayoutable", "searchable", "triggerable", "undeletable"), True),
    **dict.fromkeys(("activateable", "customSetting", "deepCloneable", "deprecatedAndHidden", "hasSubtypes"), False),
    **dict.fromkeys(("isInterface", "isSubtype"), False),
    **dict.fromkeys(("associateEntityType", "associateParentEntity", "defaultImplementation", "extendedBy"), None),
    **dict.fromkeys(("extendsInterfaces", "implementedBy", "implementsInterfaces", "listviewable"), None),
    **dict.fromkeys(("lookupLayoutable", "networkScopeFieldName"), None),
    "sobjectDescribeOption": "FULL",
    "supportedScopes": [{"label": "All", "name": "everything"}],
}
_FIELD_REST: dict[str, Any] = {
    **dict.fromkeys(("aggregatable", "groupable", "permissionable"), True),
    **dict.fromkeys(("aiPredictionField", "cascadeDelete", "dependentPicklist", "deprecatedAndHidden"), False),
    **dict.fromkeys(("displayLocationInDecimal", "encrypted", "formulaTreatNullNumberAsZero"), False),
    **dict.fromkeys(("highScaleNumber", "htmlFormatted", "nameField", "namePointing", "polymorphicForeignKey"), False),
    **dict.fromkeys(("queryByDistance", "restrictedDelete", "searchPrefilterable", "writeRequiresMasterRead"), False),
    **dict.fromkeys(("calculatedFormula", "defaultValueFormula", "extraTypeInfo", "filteredLookupInfo", "mask"), None),
    **dict.fromkeys(("maskType", "referenceTargetField", "relationshipOrder"), None),
}
"""Members of real descriptions that nobody here looks at."""


def describe(facts: ObjectFacts, version: str) -> dict[str, Any]:
    """The body of `GET /sobjects/{name}/describe`: the members that clients look at."""
    return {
        **_OBJECT_REST,
        "name": facts.name,
        "label": facts.name,
        "labelPlural": facts.name + "s",
        "keyPrefix": facts.prefix,
        "custom": facts.name.endswith("__c"),
        "createable": facts.name not in _WITHOUT_BIN,
        "updateable": facts.name not in _WITHOUT_BIN,
        "deletable": facts.name not in _WITHOUT_BIN,
        "queryable": True,
        "mergeable": "MasterRecordId" in facts.fields,
        "fields": [_described(field) for field in facts.fields.values() if not field.hidden],
        "urls": {"sobject": f"/services/data/v{version}/sobjects/{facts.name}"},
    }


def _described(field: FieldFacts) -> dict[str, Any]:
    picks = [{"active": True, "defaultValue": False, "label": o, "validFor": None, "value": o} for o in field.options]
    relation = field.name.removesuffix("Id") if field.refers and field.name.endswith("Id") else None
    return {
        **_FIELD_REST,
        "name": field.name,
        "label": field.name.removesuffix("__c"),
        "type": field.type,
        "soapType": _SOAP.get(field.type, "xsd:string"),
        "length": field.length or (18 if field.type in ("id", "reference") else 0),
        "byteLength": field.length * 3,
        "createable": field.create,
        "updateable": field.update,
        "nillable": not field.required and field.type != "boolean",
        "defaultedOnCreate": field.type == "boolean" or field.name in ("OwnerId", "Status", "Priority"),
        "externalId": field.unique,
        "unique": field.unique,
        "idLookup": field.unique or field.name in ("Id", "Email"),
        "caseSensitive": False,
        "filterable": field.filterable,
        "sortable": field.filterable,
        "custom": field.name.endswith("__c"),
        "calculated": False,
        "autoNumber": False,
        "restrictedPicklist": field.restricted,
        "picklistValues": picks,
        "referenceTo": [field.refers] if field.refers else [],
        "relationshipName": relation,
        "compoundFieldName": None,
        "controllerName": None,
        "defaultValue": False if field.type == "boolean" else None,
        "inlineHelpText": None,
        "precision": 18 if field.type in ("currency", "double", "percent") else 0,
        "scale": 2 if field.type in ("currency", "double", "percent") else 0,
        "digits": 8 if field.type == "int" else 0,
    }

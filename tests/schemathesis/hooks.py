"""Changes the requests that schemathesis makes from the schemas to meet the conditions that no JSON Schema can state.

Only valid requests are changed, and only by the rules that the comments of proto/ state in words. So the check that valid
requests are accepted holds for every call that does not depend on recorded facts.
"""

import datetime
import json
import re

import schemathesis

# The customer and a promotion of the demo: with others every call would end with "customer not found".
CUSTOMER = 566_881_933
PROMOTION = "6912ced9d39e256f754a83f8"
ID = re.compile("[0-9A-Fa-f]{24}")
NOW = datetime.datetime.now(datetime.timezone.utc)
MAX_LISTED = 1000
LINE = {
    "promotionId": PROMOTION,
    "earnedPromotionId": PROMOTION,
    "redemptionCount": 1,
    "discount": 1,
    "discountAppliedOnQuantity": 1,
    "promotionAppliedOnQuantity": 1,
}


@schemathesis.hook
def before_load_schema(context, raw_schema):
    """The document says what a client should send. The service also takes null for an absent field: here it is valid."""
    schemas = raw_schema["components"]["schemas"]
    names = set()

    def collect(value):
        if isinstance(value, dict):
            name = str(value.get("$ref", "")).rsplit("/", 1)[-1]
            if name in schemas and name not in names:
                names.add(name)
                collect(schemas[name])
        for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
            collect(inner)

    for path in raw_schema["paths"].values():
        for operation in path.values():
            for parameter in operation.get("parameters", []):
                if parameter["in"] == "query" and not parameter.get("required"):
                    allow_empty_id(parameter["schema"])
            # A credential cannot be null.
            if operation["operationId"] != "GenerateToken":
                collect(operation.get("requestBody"))
    for schema in (schemas[name] for name in names):
        for name in schema.get("properties", {}).keys() - set(schema.get("required", [])):
            field = schema["properties"][name]
            allow_empty_id(field)
            schema["properties"][name] = {"anyOf": [field, {"type": "null"}]}


def allow_empty_id(schema):
    """The empty text stands for an absent id."""
    if schema.get("pattern") == f"^{ID.pattern}$":
        schema["pattern"] = f"^({ID.pattern})?$"


@schemathesis.hook
def before_call(context, case, kwargs):
    if case.meta is None or not case.meta.generation.mode.is_positive:
        return
    operation = case.operation.definition.raw["operationId"]
    if case.query:
        # A page token must come from a response.
        case.query.pop("pageToken", None)
    if operation != "Earn":
        for parameters in (case.path_parameters or {}, case.query or {}):
            for name in {"promotionId", "promotionIds", "earnedPromotionId"} & parameters.keys():
                parameters[name] = only_ids(parameters[name])
    if isinstance(case.body, dict):
        amend = AMENDMENTS.get(operation)
        if amend is not None:
            # The body is copied, because its parts may be used again.
            case.body = json.loads(json.dumps(case.body))
            if "customerId" in case.body:
                case.body["customerId"] = type(case.body["customerId"])(CUSTOMER)
            amend(case.body)


def only_ids(value):
    """Replaces texts that are not ids: schemathesis reuses values of responses, and a revocation repeats any text as an id."""
    if isinstance(value, list):
        return [only_ids(element) for element in value]
    return value if all(ID.fullmatch(part) for part in str(value).split(",")) else PROMOTION


def time(body, name, latest=None):
    """Gives a body at least one name of a time, and both names the same second, no later than `latest`."""
    if body.get(name) is None and body.get(name + "ISO") is None:
        body[name] = 1_735_689_600_000
    if body.get(name) is not None:
        body.pop(name + "ISO", None)
        if latest is not None and int(body[name]) > latest.timestamp() * 1000:
            body[name] = int(latest.timestamp() * 1000)
    elif latest is not None and body[name + "ISO"][:10] >= latest.date().isoformat():
        body[name + "ISO"] = latest.isoformat()
    # With its offset the time may be in a year without four digits.
    if str(body.get(name + "ISO"))[:4] in ("0001", "9999"):
        body[name + "ISO"] = "2025-01-01T00:00:00Z"


def payload(event):
    """Removes a payload that may exceed 8 KiB or 30 levels, or has U+0000."""
    text = json.dumps(event.get("eventPayload"))
    if len(text) > 4000 or "\\u0000" in text or text.count("[") + text.count("{") > 30:
        event.pop("eventPayload")


def once(elements, key):
    """Returns the elements without repetitions."""
    return list({key(element): element for element in elements}.values())


def earn(body):
    time(body, "eventTime", NOW)
    payload(body["eventDetails"])


def bulk_earn(body):
    earn(body)
    body["eventDetails"]["type"] = body["earnedFromType"]
    body["earnedPromotions"] = once(
        body["earnedPromotions"], lambda entry: (entry["promotionId"].lower(), entry["earnedFromId"])
    )
    for entry in body["earnedPromotions"]:
        # The sum of the counts is at most 1,000.
        entry["earnCount"] = min(int(entry["earnCount"]), 10)


def redeem(body):
    time(body, "transactionDate", NOW)
    if body.get("transactionDateISO") is not None and body["transactionDateISO"][:4] < "2000":
        body["transactionDateISO"] = "2025-01-01T00:00:00Z"
    round_amount(body, "amount")
    for name in ("lineItems", "redemptions"):
        lines = body.get(name) or []
        if name == "lineItems" and not lines and not body.get("redemptions"):
            lines = body[name] = [dict(LINE)]
        if lines:
            body[name] = once(lines, lambda line: line["earnedPromotionId"].lower())[: MAX_LISTED // 2]
        for line in lines:
            for amount in ("discount", "discountAppliedOnQuantity", "promotionAppliedOnQuantity"):
                round_amount(line, amount)


def round_amount(line, name):
    """Rounds an amount to six digits after the point."""
    if not isinstance(line[name], str):
        line[name] = min(round(line[name], 6), 999_999_999)


def revoke(body):
    details = once(body["earnRevokeDetails"], lambda detail: detail["promotionId"].lower())[:10]
    for detail in details:
        detail["earnIds"] = once(detail["earnIds"], str.lower)[: MAX_LISTED // 10]
    body["earnRevokeDetails"] = details


def promotion(body):
    # A new id must be free, and an id in the body must be that of the path.
    body.pop("id", None)
    for name in ("startDate", "endDate"):
        time(body, name)
    # The promotion must not end before it starts.
    body["startDate"] = body["endDate"] = body.get("endDate", 0) or 0
    body.pop("startDateISO", None)
    body.pop("endDateISO", None)
    # Only one kind of expiry has a number of days.
    expiry = body.get("earnExpiry")
    if expiry is not None and expiry["type"] == "DAYS_FROM_EARNING":
        expiry["days"] = expiry.get("days") or 30
    elif expiry is not None:
        expiry.pop("days", None)
    # A promotion has either a cap or none.
    if body.get("unlimitedEarning"):
        body.pop("maxEarningPerCustomer", None)


def audience(body):
    body["add"] = (body.get("add") or [])[: MAX_LISTED // 2]
    added = {int(customer) for customer in body["add"]}
    body["remove"] = [customer for customer in body.get("remove") or [] if int(customer) not in added]
    body["remove"] = body["remove"][: MAX_LISTED // 2]
    if not body["add"] and not body["remove"]:
        body["add"] = [CUSTOMER]


AMENDMENTS = {
    "Earn": earn,
    "BulkEarn": bulk_earn,
    "Redeem": redeem,
    "RevokeEarnedPromotions": revoke,
    "CreatePromotion": promotion,
    "ReplacePromotion": promotion,
    "ChangeAudience": audience,
}

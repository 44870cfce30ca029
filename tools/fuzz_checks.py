"""The rule of npm run test:fuzz for schemathesis: a server fails by name (502, 503, 504 in JSON) or not at all."""

import json

import schemathesis

NAMED = (502, 503, 504)


@schemathesis.check
def fails_by_name(ctx, response, case):
    """No 5xx, but for those that say in JSON what is wrong."""
    if response.status_code < 500:
        return
    assert response.status_code in NAMED, f"status {response.status_code}"
    if case.method.upper() == "HEAD":
        return
    try:
        detail = json.loads(response.content)["detail"]
    except (ValueError, TypeError, KeyError):
        detail = None
    assert isinstance(detail, str) and detail, f"status {response.status_code} without a name"

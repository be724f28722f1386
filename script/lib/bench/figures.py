"""What a measurement tells: rows of name, value, limit, whether it holds."""


def row(name: str, value: float, limit: float, unit: str, **more) -> dict:
    """One figure; `limit` is an upper bound unless `at_least` says otherwise."""
    at_least = more.pop("at_least", False)
    holds = value >= limit if at_least else value <= limit
    bound = "at least" if at_least else "at most"
    return {"name": name, "value": round(value, 3), "limit": limit, "bound": bound, "unit": unit, "holds": holds, **more}

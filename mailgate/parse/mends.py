"""As what an unclear request can be sent again: what to change, and an example that would work."""

from collections.abc import Sequence

from mailgate.parse.keys import Asked, Finding
from mailgate.saying import Saying, Words
from mailgate.services import Service
from mailgate.settings.rules import folded

# So many fit in a sentence.
_MENDS = 3


def mended(findings: Sequence[Finding]) -> Saying:
    """Say what to change; where that is much, to begin anew."""
    mends = tuple(dict.fromkeys(finding.mend for finding in findings if finding.mend))
    if not 0 < len(mends) <= _MENDS:
        return Saying("request/again-all")
    return Saying("request/again", mends=mends)


def example(
    asked: Asked, service: Service, naming: Sequence[str], findings: Sequence[Finding] = ()
) -> tuple[Words, ...]:
    """Write a request that would work: what was right in this one, and a value for the rest.

    What was nearly right has the value that was meant.
    """
    values = {name: parameter.sample() for name, parameter in service.parameters.items()}
    values |= asked.parameters
    for name, value in (finding.meant for finding in findings if finding.meant):
        parameter = service.parameters.get(name)
        given = folded(name) in asked.seen and name in asked.parameters
        if parameter is not None and not given and parameter.fault(parameter.plain(value)) is None:
            values[name] = parameter.plain(value)
    lines = [*asked.right, *(f"{name}: {value}" for name, value in values.items()), *naming]
    if service.body_input is None:
        return tuple(lines) or (f"service: {service.name}",)
    text = Saying("request/text-for", name=service.body_input.name)
    return (*(lines or [f"service: {service.name}"]), "", text)

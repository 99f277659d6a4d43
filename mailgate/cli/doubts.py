"""What in a service may well be meant so, but often is not."""

from collections.abc import Iterator

from mailgate.services import Service
from mailgate.settings import argv
from mailgate.settings.argv import Source
from mailgate.settings.parameters import Flag


def doubts(service: Service) -> Iterator[str]:
    """Yield each doubt as a line for the operator, without the service's name."""
    if not service.access.allow:
        yield "[access] allow is empty: nobody may use it"
    if service.limits.work is None:
        yield "[limits] work is not set: a job may run for ever"
    for name in sorted(service.parameters.keys() - set(service.used)):
        yield f"parameter.{name}: the command does not use it"
    for name, parameter in service.parameters.items():
        if parameter.fault(parameter.sample()):
            yield f"parameter.{name}: no value was found that fits its pattern: give it an example"
    for option, element in argv.left_behind(service.command, _droppable(service)):
        yield (
            f'command: "{option}" stays where "{element}" drops out; written as'
            f' ["{option}", "{element}"], the two go together'
        )


def _droppable(service: Service) -> set[argv.Piece]:
    inputs = {argv.Piece(Source.INPUT, n) for n, r in service.inputs.items() if not r.required}
    flags = {
        argv.Piece(Source.PARAMETER, name)
        for name, parameter in service.parameters.items()
        if isinstance(parameter, Flag) and parameter.argument
        # One that is an option itself needs none before it.
        if not parameter.argument.startswith("-")
    }
    return inputs | flags

"""What a search would cost, in lines for the plan."""

from modelswitch.config.experiment import Experiment
from modelswitch.data.shapes import DataSize
from modelswitch.search.designs import seconds_per_epoch
from modelswitch.search.schedule import Schedule, arms, trainings, whole_epochs
from modelswitch.wording import amount, duration

# Students whose speed is measured; a mean of the whole space would take minutes.
_MEASURED = 8


def lines(experiment: Experiment, size: DataSize | None) -> list[str]:
    """How many students there are on which rung, and how long they take on one core.

    Raises:
        UserError: the budget pays for too little.
    """
    search = experiment.search
    if search is None:
        return []
    schedule, ends = Schedule.of(search), search.epochs(whole_epochs(experiment))
    if size is None:
        return ["search: how long it takes is known when the data are there"]
    seconds = seconds_per_epoch(experiment, size, _MEASURED)
    begun = trainings(experiment, seconds)
    epochs = schedule.epochs(begun, ends) * len(search.seeds)
    students = ", ".join(map(str, schedule.students(begun)))
    times = f", {len(arms(search))} times (random search)" if len(arms(search)) > 1 else ""
    return [
        f"search: {students} students on rungs that end after {', '.join(map(str, ends))} epochs: "
        f"{amount(epochs)} epochs{times}, about {duration(epochs * seconds * len(arms(search)))} "
        "on one core, beside the models above them and what is judged in the end"
    ]

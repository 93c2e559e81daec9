# What rules ask for: prepared arrays, exported files, and what the report reads.

from snakemake_interface_executor_plugins.settings import ExecMode

from modelswitch.config.deploy import SUFFIXES, exported_file
from modelswitch.data.manifest import Record, refuse_other
from modelswitch.lineage import DATA_FILE, SOURCE_FILE

IN_STORAGE = workflow.storage_settings.default_storage_provider is not None


def own_data():
    """The data's manifest, where results of no other data lie under the same name."""
    found = checked_data()
    was_prepared()
    return found


@functools.cache
def was_prepared():
    """Whether there are arrays that prepare_data makes anew, perhaps the same ones.

    Whether anything follows is then known only afterwards, as with a checkpoint: other code or other
    files do not always make other arrays, and nothing is trained again for the same ones.
    """
    # The Snakemake that planned this job has known it.
    if workflow.exec_mode != ExecMode.DEFAULT:
        return False

    def beside(template):
        names = [
            template.format(experiment=EXPERIMENT.name, dataset=d) for d in EXPERIMENT.datasets
        ]
        return [os.path.join(HERE, name) for name in names]

    before = [Record.read(path) for path in beside(SOURCE_FILE)]
    if None in before:
        return False
    own = os.path.join(HERE, EXPERIMENT.name)
    now = Record.of(EXPERIMENT.data, checked_data(), own, workflow.configfiles, code("prepare.py"))
    try:
        refuse_other(before[0], now, EXPERIMENT.name)
    except UserError as error:
        fail(error)
    there = all(map(os.path.exists, beside(DATA_FILE)))
    if there and all(each.made_as(now) for each in before):
        return False
    rules.prepare_data.rule.is_checkpoint = True
    checkpoints.register(rules.prepare_data.rule, fallback_name="prepare_data")
    return True


def prepared(*datasets):
    """An input function for the arrays of data sets, by default of the wildcards' one.

    Their date says nothing, for they may have been made anew and be the same.
    """

    def files(wildcards):
        paths = of_datasets(DATA, wildcards, datasets)
        return paths if IN_STORAGE else [ancient(path) for path in paths]

    return files


def checksum(*datasets):
    """An input function for what changes where these arrays do. Arrays of earlier versions have none,
    and of files in a storage it is not known here whether they are there: their dates count.
    """

    def files(wildcards):
        pairs = zip(
            of_datasets(CHECKSUM, wildcards, datasets), of_datasets(DATA, wildcards, datasets)
        )
        there = os.path.exists
        return [] if IN_STORAGE else [own for own, data in pairs if there(own) or not there(data)]

    return files


def of_datasets(template, wildcards, datasets):
    """Files of data sets that have been prepared."""
    if was_prepared():
        checkpoints.prepare_data.get()
    names = datasets or [wildcards.dataset]
    return [template.format(experiment=EXPERIMENT.name, dataset=name) for name in names]


def exports_of(*places):
    """All files of these models: the format's own and what is said of them."""
    stem = {
        name: exported_file(name).removesuffix(SUFFIXES[name][0])
        for name in EXPERIMENT.deploy.formats
    }
    return [
        path
        for place in places
        for name in EXPERIMENT.deploy.formats
        for file in (f"{exported_file(name)}.json", *(stem[name] + end for end in SUFFIXES[name]))
        for path in stored(file, place)
    ]


def measured_elsewhere():
    """Tables that another machine wrote, for the page to show beside this one's."""
    given = EXPERIMENT.deploy.measured if EXPERIMENT.deploy else []
    for path in given:
        if not os.path.exists(path):
            fail(f"deploy.measured: {path}: no such file")
    return given


def beside_them():
    """What else the report reads. On a disk that jobs share it lies beside the files that are inputs
    in any case, and results of which a part was removed have a page all the same; from a storage
    a job gets what it names.
    """
    if not IN_STORAGE:
        return []
    models = GRAPH.models()
    hinted = [model for model in models if GRAPH.pretrains(model)]
    answered = {
        path
        for model in models
        if GRAPH.stores(model)
        for path in stored(
            f"responses{GRAPH.stored_for(model)}.safetensors", *GRAPH.teachers(model)
        )
    }
    return [
        *expand(
            [DATA, CHECKSUM, RESULTS + SOURCE_FILE],
            experiment=EXPERIMENT.name,
            dataset=EXPERIMENT.datasets,
        ),
        *stored("model.safetensors", *models),
        *stored("history.csv", *models),
        *stored("hint_history.csv", *hinted),
        *sorted(answered),
        *(EXPORTS if EXPERIMENT.deploy else []),
        *([f"{path}.json" for path in SELECTORS_EXPORTED] if EXPERIMENT.deploy else []),
    ]

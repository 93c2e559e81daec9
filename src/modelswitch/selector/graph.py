"""Which files a selector is made from, and the jobs that make it."""

from collections.abc import Iterator

from modelswitch.config.degradations import Degradations, side_name, sides
from modelswitch.config.deploy import exported_file
from modelswitch.config.job import DegradedSpec, Recogniser, SelectorJob
from modelswitch.graph import Graph
from modelswitch.lineage import SELECTOR_FOLDER, ModelFolder, Replicate

EMBEDDINGS = "embeddings.safetensors"


class SelectorGraph:
    """The selectors of an experiment that has some. Paths begin below the folder of results."""

    def __init__(self, graph: Graph) -> None:
        self.graph, self.experiment = graph, graph.experiment
        assert self.experiment.selector is not None, "asked for where there is one"
        self.settings = self.experiment.selector

    @property
    def names(self) -> list[str]:
        return list(self.settings.selectors)

    @property
    def modalities(self) -> list[str]:
        return self.experiment.datasets

    @property
    def degradations(self) -> Degradations:
        return self.settings.degradations

    @property
    def sides(self) -> list[str]:
        """Names of the choices of degraded modalities."""
        return [side_name(chosen, self.modalities) for chosen in sides(self.modalities)]

    @property
    def branches(self) -> list[str]:
        return [str(Replicate(seed)) for seed in self.experiment.seeds]

    def degraded(self, dataset: str, branch: str) -> DegradedSpec:
        known = self.degradations
        seed = Replicate.parse(branch).seed
        return DegradedSpec(dataset=dataset, seed=seed, sets=known.sets, scale=known.scale)

    def recognisers(self, branch: str, selector: str) -> list[ModelFolder]:
        return [
            ModelFolder(self.experiment.name, modality, Replicate.parse(branch), lineage)
            for modality, lineage in self.experiment.recognisers(selector).items()
        ]

    def files(self, branch: str, selector: str) -> list[str]:
        """The outputs that a selector works on, one file a modality."""
        places = self.recognisers(branch, selector)
        return [place.file("degraded.safetensors") for place in places]

    def embeddings(self, branch: str, selector: str) -> list[str]:
        """What its recognisers make of people in no training, one file a modality."""
        return [place.file(EMBEDDINGS) for place in self.recognisers(branch, selector)]

    def all_embeddings(self) -> list[str]:
        """Of all seeds; each once."""
        files = [path for pair in self.pairs() for path in self.embeddings(*pair)]
        return list(dict.fromkeys(files))

    def model(self, branch: str, selector: str) -> str:
        folder = SELECTOR_FOLDER.format(
            experiment=self.experiment.name, branch=branch, selector=selector
        )
        return f"{folder}/selector.safetensors"

    def exported(self) -> Iterator[tuple[str, str, str]]:
        """Every (branch, selector, file) of which recognisers and selector become one graph."""
        deploy = self.experiment.deploy
        if deploy is None or "onnx" not in deploy.formats:
            return
        for seed in self.experiment.deployed_seeds:
            for name in self.names:
                branch = str(Replicate(seed))
                folder = SELECTOR_FOLDER.format(
                    experiment=self.experiment.name, branch=branch, selector=name
                )
                yield branch, name, f"{folder}/{exported_file('onnx')}"

    def job(self, branch: str, selector: str) -> SelectorJob:
        return SelectorJob(
            name=selector,
            seed=Replicate.parse(branch).seed,
            spec=self.settings.selectors[selector],
            degradations=self.degradations,
            training=self.settings.training,
            recognisers=[
                Recogniser(
                    modality=place.dataset,
                    lineage=str(place.lineage),
                    digest=self.graph.train_job(place).digest,
                )
                for place in self.recognisers(branch, selector)
            ],
        )

    def pairs(self) -> Iterator[tuple[str, str]]:
        """Every (branch, selector)."""
        return ((branch, name) for branch in self.branches for name in self.names)

    def all_files(self) -> list[str]:
        """Outputs and selectors of all seeds; each once."""
        files = [
            path
            for branch, name in self.pairs()
            for path in (*self.files(branch, name), self.model(branch, name))
        ]
        return list(dict.fromkeys(files))

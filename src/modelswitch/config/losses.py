"""Losses of a transfer, as validated values: what is compared, of outputs and of inner layers."""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, model_validator

from modelswitch.config.base import Imported, Strict, refuse_all_zero

Weight = Annotated[float, Field(ge=0)]
Temperature = Annotated[float, Field(gt=0, le=1e6)]


class Loss(Strict):
    """What every loss says of itself, for docs/methods.md and the checks before a training.

    Attributes:
        source: paper or code that it is from.
        formula: as plain text, with s and t the logits of student and teacher, or F_s and F_t the
            features of their layers, y the label, T the temperature, B the batch, C the classes.
        needs: what else it asks for, in words.
        classes, batch: the fewest with which it has something to teach.
        weights: settings of which one at least has to be above 0.
    """

    source: ClassVar[str] = ""
    formula: ClassVar[str] = ""
    needs: ClassVar[str] = ""
    classes: ClassVar[int] = 2
    batch: ClassVar[int] = 1
    weights: ClassVar[tuple[str, ...]] = ()

    @property
    def fewest_classes(self) -> int:
        return self.classes

    @property
    def smallest_batch(self) -> int:
        return self.batch

    @property
    def compares_batch(self) -> bool:
        """Whether it compares the images of a batch with each other."""
        return self.smallest_batch > 1

    @model_validator(mode="after")
    def _something_counts(self) -> "Loss":
        refuse_all_zero(self, self.weights)
        return self


class KlLoss(Loss):
    """Kullback-Leibler divergence of softened outputs (Hinton 2015)."""

    source = "Hinton, Vinyals, Dean 2015, arXiv:1503.02531"
    formula = "T² · KL(p_t ‖ p_s)\np_z = softmax(z / T)"

    name: Literal["kl"] = "kl"


class LogitMseLoss(Loss):
    """Mean squared difference of logits (Ba 2014); the transfer's `temperature` is not used."""

    source = "Ba, Caruana 2014, arXiv:1312.6184; Kim et al. 2021, arXiv:2105.08919"
    formula = "Σ_c (s_c − t_c)² / C"
    needs = "with `views: stored`: `centred: true`, for stored logits are known but for a shift"

    name: Literal["mse"]
    centred: bool = Field(
        default=False,
        description="take the mean over classes off both first: a softmax does not see it",
    )


class DkdLoss(Loss):
    """Target-class and non-target-class parts of that divergence, weighted apart (Zhao 2022)."""

    source = "Zhao et al. 2022, arXiv:2203.08679, equation 7"
    formula = (
        "T² · (α · KL(b_t ‖ b_s) + β · KL(q_t ‖ q_s))\n"
        "b = (p_y, 1 − p_y)\n"
        "q = p among the classes other than y"
    )
    needs = "3 classes for the non-target part"
    weights = ("alpha", "beta")

    name: Literal["dkd"] = "dkd"
    alpha: Weight = Field(default=1.0, description="target-class part")
    beta: Weight = Field(default=8.0, description="non-target part")

    @property
    def fewest_classes(self) -> int:
        return 2 if self.alpha else 3


class StandardisedLoss(Loss):
    """The divergence of z-scored logits (Sun 2024); the transfer's `temperature` is not used."""

    source = "Sun et al. 2024, arXiv:2403.01427"
    formula = "T₀² · KL(softmax(Z(t) / T₀) ‖ softmax(Z(s) / T₀))\nZ(z) = (z − mean(z)) / std(z)"
    needs = "3 classes: with 2, z-scores are the same for all samples"
    classes = 3

    name: Literal["standardised"] = "standardised"
    base_temperature: Annotated[float, Field(gt=0)] = 2.0


class DistLoss(Loss):
    """Correlations of softened outputs, within a sample and within a class over the batch
    (Huang 2022). The second is of the batch as a whole and gets the mean of the samples' weights.
    """

    source = "Huang et al. 2022, arXiv:2205.10536"
    formula = (
        "T² · (β · (1 − ρ(p_s, p_t)) + γ · Σ_c (1 − ρ(p_s[c], p_t[c])) / C)\n"
        "p[c]: what the images of a batch give class c"
    )
    needs = "`beta` 3 classes, `gamma` a batch of 2"
    weights = ("beta", "gamma")

    name: Literal["dist"]
    beta: Weight = Field(default=1.0, description="relations of the classes in a sample")
    gamma: Weight = Field(default=1.0, description="relations of a batch's samples in a class")

    @property
    def fewest_classes(self) -> int:
        return 3 if self.beta else 2

    @property
    def smallest_batch(self) -> int:
        return 2 if self.gamma else 1


class MultiLevelLoss(Loss):
    """Divergence, and relations of samples and of classes, at several temperatures (Jin 2023).

    The transfer's `temperature` is not used. The part of the classes is of the batch as a whole
    and gets the mean of the samples' weights. The authors' code shows two views of every image and
    scales some parts by how sure the teacher is; this is the formula of their paper.

    The part of the classes grows with (B / C)²: of 128 images of ten classes it is 400 times what
    it is of the authors' 64 of a hundred, and students die of it; the soft loss needs a smaller
    weight there.
    """

    source = "Jin, Wang, Lin 2023, CVPR, Multi-Level Logit Distillation"
    formula = (
        "Σ_T (T² · KL(p_t ‖ p_s) + ‖P_t P_tᵀ − P_s P_sᵀ‖² / B + ‖P_tᵀ P_t − P_sᵀ P_s‖² / C)\n"
        "P: p of a batch's images as rows"
    )

    name: Literal["multi_level"]
    temperatures: Annotated[list[Temperature], Field(min_length=1)] = [2.0, 3.0, 4.0, 5.0, 6.0]

    @property
    def compares_batch(self) -> bool:
        return True


class SmoothingLoss(Loss):
    """Control: label smoothing as a teacher that knows nothing (Yuan 2020).

    The teacher's answers and the transfer's `temperature` are not used. With `soft: 0.1` it has the
    gradient of a training with `label_smoothing: 0.1`.
    """

    source = "Szegedy et al. 2016, arXiv:1512.00567; Yuan et al. 2020, arXiv:1909.11723"
    formula = "KL(u ‖ softmax(s))\nu_c = 1 / C"

    name: Literal["ls"]


class TfKdLoss(Loss):
    """Control: a teacher that is made up, sure of the true class and of nothing else (Tf-KD, the
    regularisation of Yuan 2020).

    The teacher's answers are not used. As in the authors' code the made-up probabilities enter a
    softmax at the transfer's `temperature`, and the student is not softened; they use 20 and
    `soft: 0.1`. Their other control, a model that learns from one of its own kind, is a chain:
    `student/student@kd`.
    """

    source = "Yuan et al. 2020, arXiv:1909.11723, Tf-KD_reg"
    formula = (
        "KL(softmax(d / T) ‖ softmax(s))\nd_y = a,  d_c = (1 − a) / (C − 1) for the other classes"
    )

    name: Literal["tf_kd"]
    correct: Annotated[float, Field(gt=0, lt=1)] = Field(
        default=0.99, description="a, what the made-up teacher gives the true class"
    )


class MseLoss(Loss):
    """Mean squared error through a regressor that is trained along (FitNets, Romero 2015)."""

    source = "Romero et al. 2015, arXiv:1412.6550"
    formula = "mean (r(F_s) − F_t)²\nr: a 1 × 1 convolution"

    name: Literal["mse"] = "mse"


class AttentionLoss(Loss):
    """Where the features of an image are strong (Zagoruyko 2017); its authors' weight is 1000."""

    source = "Zagoruyko, Komodakis 2017, arXiv:1612.03928; the authors' code, whose mean is no norm"
    formula = "mean (a(F_s) − a(F_t))²\na(F) = q / ‖q‖,  q = mean over channels of F²"
    needs = "maps, or as many tokens in both layers"

    name: Literal["attention"]


class SimilarityLoss(Loss):
    """Which images of a batch are alike (Tung 2019); its authors' weight is 3000."""

    source = "Tung, Mori 2019, arXiv:1907.09682"
    formula = "‖G_s − G_t‖² / B²\nG: the rows of F Fᵀ scaled to length 1"
    needs = "a batch of 2; the larger the better"
    batch = 2

    name: Literal["similarity"]


class RelationalLoss(Loss):
    """Distances of pairs and angles of triples of a batch's images (RKD, Park 2019)."""

    source = "Park et al. 2019, arXiv:1904.05068"
    formula = (
        "β_d · mean h(d_s − d_t) + β_a · mean h(c_s − c_t)\n"
        "d = ‖f_i − f_j‖ / its mean,  c = cos ∠ f_i f_j f_k,  h: Huber's loss"
    )
    needs = "a batch of 3; memory for its cube"
    batch = 3
    weights = ("distance", "angle")

    name: Literal["relational"]
    distance: Weight = Field(default=1.0, description="distances of pairs; 25 for classification")
    angle: Weight = Field(default=2.0, description="angles of triples; 50 for classification")


class CorrelationLoss(Loss):
    """Images' similarities by a Gaussian kernel (Peng 2019)."""

    source = "Peng et al. 2019, arXiv:1904.01802"
    formula = "‖K_s − K_t‖² / B²\nK_ij = exp(−2γ) · Σ_{n ≤ P} (2γ)ⁿ / n! · (f_iᵀ f_j)ⁿ,  ‖f‖ = 1"
    needs = "a batch of 2"
    batch = 2

    name: Literal["correlation"]
    gamma: Annotated[float, Field(gt=0)] = Field(default=0.4, description="of the Gaussian")
    order: Annotated[int, Field(ge=1, le=20)] = Field(
        default=2, description="P, of the Gaussian's expansion"
    )


class ReviewLoss(Loss):
    """Features of every stage, the student's fused with those of coarser ones (Chen 2021). Meant
    for `stages: true`."""

    source = "Chen et al. 2021, arXiv:2104.09044"
    formula = (
        "Σ_l HCL(ABF(F_s,l, F_s,l+1, …), F_t,l)\n"
        "HCL: mean squared errors, every coarser field at half the weight of the one before"
    )
    needs = "maps"

    name: Literal["review"]


class ImportedLoss(Imported, Loss):
    """A user's own loss."""

    name: Literal["import"]


def _named(value: Any) -> Any:
    return {"name": value} if isinstance(value, str) else value


OutputLoss = Annotated[
    Annotated[
        KlLoss
        | LogitMseLoss
        | DkdLoss
        | StandardisedLoss
        | DistLoss
        | MultiLevelLoss
        | SmoothingLoss
        | TfKdLoss
        | ImportedLoss,
        Field(discriminator="name"),
    ],
    BeforeValidator(_named),
]
InnerLoss = Annotated[
    Annotated[
        MseLoss
        | AttentionLoss
        | SimilarityLoss
        | RelationalLoss
        | CorrelationLoss
        | ReviewLoss
        | ImportedLoss,
        Field(discriminator="name"),
    ],
    BeforeValidator(_named),
]

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
        formula: in LaTeX, with s and t the logits of student and teacher, or F_s and F_t the
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

    @model_validator(mode="after")
    def _something_counts(self) -> "Loss":
        refuse_all_zero(self, self.weights)
        return self


class KlLoss(Loss):
    """Kullback-Leibler divergence of softened outputs (Hinton 2015)."""

    source = "Hinton, Vinyals, Dean 2015, arXiv:1503.02531"
    formula = r"T^2\, \mathrm{KL}(p_t \,\|\, p_s),\ p_z = \mathrm{softmax}(z/T)"

    name: Literal["kl"] = "kl"


class LogitMseLoss(Loss):
    """Mean squared difference of logits (Ba 2014); the transfer's `temperature` is not used."""

    source = "Ba, Caruana 2014, arXiv:1312.6184; Kim et al. 2021, arXiv:2105.08919"
    formula = r"\frac{1}{C} \sum_c (s_c - t_c)^2"
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
        r"T^2 (\alpha\, \mathrm{KL}(b_t \,\|\, b_s) "
        r"+ \beta\, \mathrm{KL}(\hat p_t \,\|\, \hat p_s)),\ "
        r"b = (p_y, 1 - p_y),\ \hat p = p \text{ among the classes but } y"
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
    formula = (
        r"T_0^2\, \mathrm{KL}(\mathrm{softmax}(Z(t)/T_0) \,\|\, \mathrm{softmax}(Z(s)/T_0))"
        r",\ Z(z) = (z - \mathrm{mean}(z)) / \mathrm{std}(z)"
    )
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
        r"T^2 \bigl(\beta (1 - \rho(p_s, p_t)) + \gamma \tfrac{1}{C} \sum_c "
        r"(1 - \rho(p_s^{(c)}, p_t^{(c)}))\bigr),\ \rho \text{ Pearson's correlation}"
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
    """

    source = "Jin, Wang, Lin 2023, CVPR, Multi-Level Logit Distillation"
    formula = (
        r"\sum_T T^2\, \mathrm{KL}(p_t \,\|\, p_s) "
        r"+ \tfrac{1}{B} \|P_t P_t^\top - P_s P_s^\top\|^2 "
        r"+ \tfrac{1}{C} \|P_t^\top P_t - P_s^\top P_s\|^2,\ P \text{ a batch's } p \text{ as rows}"
    )

    name: Literal["multi_level"]
    temperatures: Annotated[list[Temperature], Field(min_length=1)] = [2.0, 3.0, 4.0, 5.0, 6.0]


class SmoothingLoss(Loss):
    """Control: label smoothing as a teacher that knows nothing (Yuan 2020).

    The teacher's answers and the transfer's `temperature` are not used. With `soft: 0.1` it has the
    gradient of a training with `label_smoothing: 0.1`.
    """

    source = "Szegedy et al. 2016, arXiv:1512.00567; Yuan et al. 2020, arXiv:1909.11723"
    formula = r"\mathrm{KL}(u \,\|\, \mathrm{softmax}(s)),\ u_c = 1/C"

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
        r"\mathrm{KL}(\mathrm{softmax}(d/T) \,\|\, \mathrm{softmax}(s)),\ d_y = a,\ "
        r"d_c = (1 - a)/(C - 1)"
    )

    name: Literal["tf_kd"]
    correct: Annotated[float, Field(gt=0, lt=1)] = Field(
        default=0.99, description="a, what the made-up teacher gives the true class"
    )


class MseLoss(Loss):
    """Mean squared error through a regressor that is trained along (FitNets, Romero 2015)."""

    source = "Romero et al. 2015, arXiv:1412.6550"
    formula = r"\mathrm{mean}\,(r(F_s) - F_t)^2,\ r \text{ a } 1 \times 1 \text{ convolution}"

    name: Literal["mse"] = "mse"


class AttentionLoss(Loss):
    """Where the features of an image are strong (Zagoruyko 2017); its authors' weight is 1000."""

    source = "Zagoruyko, Komodakis 2017, arXiv:1612.03928; the authors' code, whose mean is no norm"
    formula = (
        r"\mathrm{mean}\,(a(F_s) - a(F_t))^2,\ "
        r"a(F) = q / \|q\|,\ q = \text{mean over channels of } F^2"
    )
    needs = "maps, or as many tokens in both layers"

    name: Literal["attention"]


class SimilarityLoss(Loss):
    """Which images of a batch are alike (Tung 2019); its authors' weight is 3000."""

    source = "Tung, Mori 2019, arXiv:1907.09682"
    formula = (
        r"\tfrac{1}{B^2} \|G_s - G_t\|^2,\ "
        r"G = \text{rows of } F F^\top \text{ scaled to length 1}"
    )
    needs = "a batch of 2; the larger the better"
    batch = 2

    name: Literal["similarity"]


class RelationalLoss(Loss):
    """Distances of pairs and angles of triples of a batch's images (RKD, Park 2019)."""

    source = "Park et al. 2019, arXiv:1904.05068"
    formula = (
        r"\beta_d\, \mathrm{mean}\, h(d_s - d_t) + \beta_a\, \mathrm{mean}\, h(c_s - c_t),\ "
        r"d = \|f_i - f_j\| / \text{mean},\ c = \cos \angle f_i f_j f_k,\ h \text{ Huber's}"
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
    formula = (
        r"\tfrac{1}{B^2} \|K_s - K_t\|^2,\ K_{ij} = e^{-2\gamma} \sum_{p \le P} "
        r"\frac{(2\gamma)^p}{p!} (f_i^\top f_j)^p,\ \|f\| = 1"
    )
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
        r"\sum_l \mathrm{HCL}(\mathrm{ABF}(F_{s,l}, F_{s,l+1}, \dots), F_{t,l}),\ \mathrm{HCL}"
        r" \text{: squared errors at } 1, \tfrac12, \dots \text{ of the weight on coarser fields}"
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

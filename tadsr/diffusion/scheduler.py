"""The residual-shifting schedule and everything that follows from it.

Forward process (Yue et al., ResShift, NeurIPS 2023, arXiv 2307.12348, eq. 2):

    x_t = z_0 + eta_t (z_y - z_0) + kappa sqrt(eta_t) n,    n ~ N(0, I),    t = 0 .. T-1,

where z_0 is the clean latent and z_y the latent of the bicubically enlarged low-resolution image.
`t` is 0-based: 0 is the least noisy. Latents are (N, C, H, W).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from diffusers import ConfigMixin, SchedulerMixin
from diffusers.configuration_utils import register_to_config
from diffusers.utils import BaseOutput
from torch import Tensor

from tadsr.errors import ConfigError, nearest

PREDICTION_TYPES = ("sample", "residual", "preconditioned", "epsilon")
FROM_Z_Y = ("residual", "preconditioned")
"""The types whose network sees (x_t - z_y) / std_t, and that need sigma_r."""
SINSR_CAP = math.sqrt(0.001)


@dataclass
class ResShiftStep(BaseOutput):  # type: ignore[misc]
    """One reverse step: `prev_sample` is x_{t-1}, `pred_original_sample` the estimate of z_0."""

    prev_sample: Tensor
    pred_original_sample: Tensor


class ResShiftScheduler(SchedulerMixin, ConfigMixin):  # type: ignore[misc]
    """Residual-shifting schedule with stochastic (ResShift) and deterministic (SinSR) steps.

    Args:
        num_train_timesteps: T, the number of steps of the chain.
        kappa: noise strength; the noisiest state has standard deviation kappa * sqrt_eta_{T-1}.
        min_noise_level: sets the first sqrt_eta, min(min_noise_level / kappa, min_noise_level).
        etas_end: the last *sqrt_eta* (the published name of this setting).
        power: p of sqrt_eta_t = s0 r^{(t/(T-1))^p (T-1)}; below 1 the early steps are larger.
        prediction_type: what the network returns: `sample` (z_0), `residual` (z_0 - z_y in
            units of `sigma_r`), `preconditioned` (what the best linear estimate of z_0 lacks, in
            units of its error) or `epsilon` (the noise n).
        prior_noise_scale: factor on the noise of x_T; 1 in the papers.
        sigma_r: standard deviation of z_0 - z_y on the data, for `residual` and `preconditioned`.
        cap_s0: cap the first sqrt_eta by sqrt(0.001), as SinSR and TAD-SR do.
    """

    order = 1
    config_name = "scheduler_config.json"

    @register_to_config  # type: ignore[untyped-decorator]
    def __init__(
        self,
        num_train_timesteps: int = 15,
        kappa: float = 2.0,
        min_noise_level: float = 0.04,
        etas_end: float = 0.99,
        power: float = 0.3,
        prediction_type: str = "sample",
        prior_noise_scale: float = 1.0,
        sigma_r: float = 1.0,
        cap_s0: bool = False,
    ) -> None:
        if prediction_type not in PREDICTION_TYPES:
            raise ConfigError(
                f"prediction_type '{prediction_type}' is not known; "
                f"{nearest(prediction_type, list(PREDICTION_TYPES))}"
            )
        positive = {"kappa": kappa, "min_noise_level": min_noise_level, "sigma_r": sigma_r}
        for name, value in positive.items():
            if not value > 0:
                raise ConfigError(f"schedule: {name} is {value}; choose a number above 0")
        if num_train_timesteps < 1:
            raise ConfigError(
                f"schedule: num_train_timesteps is {num_train_timesteps}; choose 1 or more"
            )
        first = min(min_noise_level / kappa, min_noise_level)
        first = min(first, SINSR_CAP) if cap_s0 else first
        if not first < etas_end < 1:
            raise ConfigError(
                f"schedule: etas_end is {etas_end}; choose a sqrt_eta between {first:.4g} and 1"
            )
        self.num_train_timesteps = num_train_timesteps
        self.kappa = kappa
        self.prediction_type = prediction_type
        self.prior_noise_scale = prior_noise_scale
        self.sigma_r = sigma_r
        self.sqrt_etas = _sqrt_etas(num_train_timesteps, first, etas_end, power)
        self._tables = _coefficients(self.sqrt_etas, kappa, sigma_r)
        self._cast: dict[tuple[str, torch.device, torch.dtype], Tensor] = {}

    def __len__(self) -> int:
        """T, the number of steps of the chain."""
        return self.num_train_timesteps

    def coefficient(self, name: str, t: int | Tensor, like: Tensor) -> Tensor:
        """Coefficient `name` at `t`, cast to the device and dtype of `like` and broadcastable.

        Names: `eta`, `sqrt_eta`, `input_scale`, `noise_std` (kappa sqrt(eta_t)), `residual_std`
        (std_t of x_t - z_y), `skip` and `skip_error` (of `preconditioned`), `posterior_x_t`,
        `posterior_x_0`, `posterior_variance`, `posterior_std`, and `deterministic_{x_0,x_t,y}`.
        Tables are float64; nothing here waits for a GPU.

        Args:
            t: a 0-based step, or an (N,) integer tensor with one per sample.
            like: the tensor the coefficient will multiply, (N, ...).
        """
        key = (name, like.device, like.dtype)
        table = self._cast.get(key)
        if table is None:
            # Kept over calls, so it must not be tied to a caller's inference mode.
            with torch.inference_mode(False):
                table = self._cast[key] = self._tables[name].to(like.device, like.dtype)
        if not isinstance(t, Tensor):
            if not 0 <= t < self.num_train_timesteps:
                raise IndexError(f"t is {t}; a step lies in 0..{self.num_train_timesteps - 1}")
            return table[t]
        values = table[t.to(like.device)]
        return values if t.ndim == 0 else values.reshape(-1, *[1] * (like.ndim - 1))

    def scale_model_input(
        self, x_t: Tensor, t: int | Tensor, lq_latent: Tensor | None = None
    ) -> Tensor:
        """What the network sees of `x_t`: of order 1 at every t.

        `sample` and `epsilon`: x_t / sqrt(kappa^2 eta_t + 1). `residual` and `preconditioned`:
        (x_t - z_y) / std_t with std_t^2 = (1 - eta_t)^2 sigma_r^2 + kappa^2 eta_t, which needs
        `lq_latent` (z_y).
        """
        if self.prediction_type not in FROM_Z_Y:
            return x_t * self.coefficient("input_scale", t, x_t)
        z_y = _required(lq_latent)
        return (x_t - z_y) / self.coefficient("residual_std", t, x_t)

    def pred_original_sample(
        self, model_output: Tensor, x_t: Tensor, t: int | Tensor, lq_latent: Tensor | None = None
    ) -> Tensor:
        """The estimate of z_0 that a network output stands for, under this prediction type.

        `preconditioned` is EDM's (Karras et al., NeurIPS 2022, arXiv 2206.00364, table 1) for a
        residual z_0 - z_y of standard deviation sigma_r that x_t - z_y shows scaled by 1 - eta_t:
        z_y + skip_t (x_t - z_y) + skip_error_t net. An output of 0 is the best linear estimate.
        """
        if self.prediction_type == "sample":
            return model_output
        z_y = _required(lq_latent)
        if self.prediction_type == "residual":
            return z_y + self.sigma_r * model_output
        if self.prediction_type == "preconditioned":
            linear = z_y + self.coefficient("skip", t, x_t) * (x_t - z_y)
            return linear + self.coefficient("skip_error", t, x_t) * model_output
        eta = self.coefficient("eta", t, x_t)
        noise = self.coefficient("noise_std", t, x_t) * model_output
        return (x_t - noise - eta * z_y) / (1 - eta)

    def add_noise(self, x_0: Tensor, lq_latent: Tensor, noise: Tensor, t: int | Tensor) -> Tensor:
        """Draw x_t given z_0, z_y and Gaussian noise, all (N, C, H, W) (ResShift, eq. 2)."""
        eta = self.coefficient("eta", t, x_0)
        return x_0 + eta * (lq_latent - x_0) + self.coefficient("noise_std", t, x_0) * noise

    def eps_from_x0(self, x_0: Tensor, x_t: Tensor, t: int | Tensor, lq_latent: Tensor) -> Tensor:
        """The noise that leads from `x_0` to `x_t`: the inverse of `add_noise` in its noise.

        [x_t - (1 - eta_t) x_0 - eta_t z_y] / (kappa sqrt(eta_t)).
        """
        eta = self.coefficient("eta", t, x_t)
        shifted = x_t - (1 - eta) * x_0 - eta * lq_latent
        return shifted / self.coefficient("noise_std", t, x_t)

    def prior_sample(self, lq_latent: Tensor, noise: Tensor) -> Tensor:
        """The noisiest state x_T = z_y + prior_noise_scale kappa sqrt(eta_{T-1}) n."""
        std = self.coefficient("noise_std", self.num_train_timesteps - 1, lq_latent)
        return lq_latent + self.prior_noise_scale * std * noise

    def loss_weight(self, t: int | Tensor, like: Tensor) -> Tensor:
        """Weight of the squared error of z_0 at `t`, which evens out its scale over t.

        `preconditioned`: 1 / skip_error_t^2, so that the network's own error counts alike at every
        t (EDM). `residual`: 1 / skip_error_t. Others: 1, as in ResShift.
        """
        if self.prediction_type not in FROM_Z_Y:
            return torch.ones_like(self.coefficient("eta", t, like))
        weight = 1 / self.coefficient("skip_error", t, like)
        return weight**2 if self.prediction_type == "preconditioned" else weight

    def step(
        self,
        model_output: Tensor,
        t: int | Tensor,
        x_t: Tensor,
        lq_latent: Tensor,
        *,
        deterministic: bool = False,
        noise: Tensor | None = None,
        generator: torch.Generator | None = None,
    ) -> ResShiftStep:
        """One reverse step from x_t to x_{t-1}.

        Stochastic: the posterior of ResShift (eq. 6 and 7 of arXiv 2307.12348) with `noise`, or
        noise drawn from `generator`; no noise at t = 0. Deterministic: SinSR (arXiv 2311.14760,
        section 4.1), x_{t-1} = k z_0 + m x_t + j z_y.

        Args:
            model_output: (N, C, H, W), read by `prediction_type`.
            t: the step of `x_t`, an int or (N,) tensor.
        """
        x_0 = self.pred_original_sample(model_output, x_t, t, lq_latent)
        return self.step_from_x0(
            x_0, t, x_t, lq_latent, deterministic=deterministic, noise=noise, generator=generator
        )

    def step_from_x0(
        self,
        x_0: Tensor,
        t: int | Tensor,
        x_t: Tensor,
        lq_latent: Tensor,
        *,
        deterministic: bool = False,
        noise: Tensor | None = None,
        generator: torch.Generator | None = None,
    ) -> ResShiftStep:
        """`step`, given the z_0 estimate itself instead of a network output."""
        if deterministic:
            previous = (
                self.coefficient("deterministic_x_0", t, x_t) * x_0
                + self.coefficient("deterministic_x_t", t, x_t) * x_t
                + self.coefficient("deterministic_y", t, x_t) * lq_latent
            )
            return ResShiftStep(prev_sample=previous, pred_original_sample=x_0)
        previous = (
            self.coefficient("posterior_x_t", t, x_t) * x_t
            + self.coefficient("posterior_x_0", t, x_t) * x_0
        )
        if isinstance(t, Tensor) or t > 0:
            noise = draw_noise(x_t, generator) if noise is None else noise
            previous = previous + self.coefficient("posterior_std", t, x_t) * noise
        return ResShiftStep(prev_sample=previous, pred_original_sample=x_0)


def draw_noise(like: Tensor, generator: torch.Generator | None) -> Tensor:
    """Standard Gaussian noise shaped like `like`, drawn on the generator's own device.

    A CPU generator gives the same numbers whatever device `like` is on.
    """
    if generator is None:
        raise ValueError("no noise and no generator given: pass one, the global one is not used")
    noise = torch.randn(like.shape, generator=generator, device=generator.device, dtype=like.dtype)
    return noise.to(like.device)


def _required(lq_latent: Tensor | None) -> Tensor:
    if lq_latent is None:
        raise ValueError("this prediction_type needs lq_latent (z_y); pass it")
    return lq_latent


def _sqrt_etas(steps: int, first: float, last: float, power: float) -> Tensor:
    """sqrt_eta_t = s0 r^{(t/(T-1))^p (T-1)}, r = (last/s0)^{1/(T-1)}: (T,) float64.

    A one-step schedule has the noisy end alone.
    """
    if steps == 1:
        return torch.tensor([last], dtype=torch.float64)
    fraction = torch.linspace(0, 1, steps, dtype=torch.float64) ** power
    return first * (last / first) ** fraction


def _coefficients(sqrt_etas: Tensor, kappa: float, sigma_r: float) -> dict[str, Tensor]:
    """All tables over t, (T,) float64 each; see `ResShiftScheduler.coefficient` for the names."""
    eta = sqrt_etas**2
    previous = torch.cat([eta.new_zeros(1), eta[:-1]])
    variance = kappa**2 * previous * (eta - previous) / eta
    root = (previous * eta).sqrt()
    carry = (previous / eta).sqrt()
    residual_std = ((1 - eta) ** 2 * sigma_r**2 + kappa**2 * eta).sqrt()
    return {
        "eta": eta,
        "sqrt_eta": sqrt_etas,
        "noise_std": kappa * sqrt_etas,
        "input_scale": (kappa**2 * eta + 1).rsqrt(),
        "residual_std": residual_std,
        "skip": (1 - eta) * sigma_r**2 / residual_std**2,
        "skip_error": sigma_r * kappa * sqrt_etas / residual_std,
        "posterior_x_t": previous / eta,
        "posterior_x_0": (eta - previous) / eta,
        "posterior_variance": variance,
        "posterior_std": variance.sqrt(),
        "deterministic_x_t": carry,
        "deterministic_y": previous - root,
        "deterministic_x_0": 1 - previous + root - carry,
    }

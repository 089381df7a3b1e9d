"""The network in plain PyTorch, as graph libraries write it: what a training step is timed against.

Every atom of the box is updated in every convolution, the edge vectors ``z = [v_i, v_j, u_ij]`` of
eqs. (8) and (9) are concatenated in memory, both ends of a pair are evaluated separately, and
autograd keeps what it needs. Softmax and sum run along the M neighbours of a dense (atoms, M)
layout, which is faster than scattering over an edge list. Nothing is imported from the network of
the package; :func:`copy_weights` makes both compute the same function.
"""

import torch
from torch import Tensor, nn

SPACING = 0.2  # Å, eq. (7)


class PlainConvolution(nn.Module):
    """Equations (8) and (9) on concatenated edge vectors."""

    def __init__(self, n_features: int, n_basis: int) -> None:
        super().__init__()
        self.logit = nn.Linear(2 * n_features + n_basis, 1)
        self.message = nn.Linear(2 * n_features + n_basis, n_features)

    def forward(
        self, atoms: Tensor, neighbors: Tensor, basis: Tensor, absent: Tensor | None
    ) -> Tensor:
        """Update all atoms, (n_atoms, n_features); neighbors (n_atoms, M), some of them absent."""
        own = atoms.unsqueeze(1).expand(-1, neighbors.shape[1], -1)
        z = torch.cat([own, atoms[neighbors], basis], dim=-1)  # (n_atoms, M, 2 F + n_basis)
        logit = self.logit(z)
        if absent is not None:
            logit = logit.masked_fill(absent, -torch.inf)
        attention = torch.softmax(logit, dim=1)
        return atoms + (attention * torch.relu(self.message(z))).sum(dim=1)


class PlainGDyNet(nn.Module):
    """Embedding, convolutions, two-layer head; targets are single atoms."""

    def __init__(
        self,
        n_species: int,
        n_states: int,
        *,
        n_conv: int = 3,
        n_features: int = 16,
        n_hidden: int = 32,
        n_basis: int = 41,
    ) -> None:
        super().__init__()
        self.embedding = nn.Embedding(n_species, n_features)
        self.n_basis = n_basis
        self.convolutions = nn.ModuleList(
            PlainConvolution(n_features, n_basis) for _ in range(n_conv)
        )
        # a fixed change of units before the head
        self.register_buffer("mean", torch.zeros(n_features))
        self.register_buffer("scale", torch.ones(n_features))
        self.hidden = nn.Linear(n_features, n_hidden)
        self.output = nn.Linear(n_hidden, n_states)

    def forward(
        self, species: Tensor, neighbors: Tensor, distances: Tensor, targets: Tensor
    ) -> Tensor:
        """State probabilities (n_frames * n_targets, n_states).

        Parameters
        ----------
        species : Tensor of shape (n_atoms,)
        neighbors, distances : Tensor of shape (n_frames, n_atoms, M)
            A neighbour at infinity is none: shells are taken whole, and some atoms have more.
        targets : Tensor of shape (n_targets,)
        """
        n_frames, n_atoms, n_neighbors = neighbors.shape
        first_atoms = n_atoms * torch.arange(n_frames, device=neighbors.device).unsqueeze(1)
        flat = (neighbors + first_atoms.unsqueeze(2)).view(-1, n_neighbors)
        # not a buffer: centres rounded to float32 would stay so in float64
        centres = SPACING * torch.arange(self.n_basis).to(distances)
        basis = torch.exp(-(((distances.view(-1, n_neighbors, 1) - centres) / SPACING) ** 2))
        beyond = torch.isinf(distances).view(-1, n_neighbors, 1)
        absent = beyond if beyond.any() else None
        atoms = self.embedding(species).repeat(n_frames, 1)
        for convolution in self.convolutions:
            atoms = convolution(atoms, flat, basis, absent)
        pooled = atoms[(targets + first_atoms).view(-1)]
        pooled = (pooled - self.mean) / self.scale
        return torch.softmax(self.output(torch.relu(self.hidden(pooled))), dim=-1)


def plain_vamp2(chi_0: Tensor, chi_t: Tensor, epsilon: float) -> Tensor:
    """VAMP-2 counted with the constant, from centred covariances in float64, eq. (5)."""

    def inverse(covariance: Tensor) -> Tensor:
        ridge = epsilon * covariance.diagonal().mean()
        return torch.linalg.inv(covariance + ridge * torch.eye(len(covariance)).to(covariance))

    x = chi_0.double() - chi_0.double().mean(dim=0)
    y = chi_t.double() - chi_t.double().mean(dim=0)
    c00, c0t, ctt = (a.T @ b / len(x) for a, b in ((x, x), (x, y), (y, y)))
    return 1.0 + (inverse(c00) @ c0t @ inverse(ctt) @ c0t.T).trace()


def copy_weights(lobe: nn.Module, plain: PlainGDyNet) -> None:
    """Give the plain network the function of a ``GDyNetLobe``.

    The term of ``v_i`` and the bias of the attention logits cancel in the softmax; they keep their
    random values.
    """
    with torch.no_grad():
        for theirs, ours in paired(lobe, plain):
            theirs.copy_(ours)
        for name in ("mean", "scale"):
            getattr(plain, name).copy_(getattr(lobe.head, name))


def paired(lobe: nn.Module, plain: PlainGDyNet) -> list[tuple[Tensor, Tensor]]:
    """Weights of the plain network, or views of them, beside those of a ``GDyNetLobe``."""
    pairs = [(plain.embedding.weight, lobe.encoder.embedding.weight)]
    for theirs, ours in zip(plain.convolutions, lobe.encoder.convolutions, strict=True):
        n = ours.center.in_features
        message, logit = theirs.message.weight, theirs.logit.weight
        pairs += [
            (message[:, :n], ours.center.weight),
            (message[:, n : 2 * n], ours.neighbor.weight),
            (message[:, 2 * n :], ours.edge.weight),
            (theirs.message.bias, ours.center.bias),
            (logit[:, n : 2 * n], ours.neighbor_logit.weight),
            (logit[:, 2 * n :], ours.edge_logit.weight),
        ]
    for name in ("hidden", "output"):
        theirs, ours = getattr(plain, name), getattr(lobe.head, name)
        pairs += [(theirs.weight, ours.weight), (theirs.bias, ours.bias)]
    return pairs

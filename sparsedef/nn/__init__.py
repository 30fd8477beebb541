"""Layers for any network: sparse codes with learned atoms, patch coding, denoising, and files."""

from sparsedef.nn.omp import OMP
from sparsedef.nn.patch_omp import PatchOMP
from sparsedef.nn.saving import load_safetensors, save_safetensors
from sparsedef.nn.sparse_code import SparseCode
from sparsedef.nn.sparse_denoise import SparseDenoise

__all__ = [
    "OMP",
    "PatchOMP",
    "SparseCode",
    "SparseDenoise",
    "load_safetensors",
    "save_safetensors",
]

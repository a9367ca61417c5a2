"""Lists the packages: the kernels lie at the top of the repository and are installed inside flowtorch."""

from setuptools import find_packages, setup

KERNELS = "triton_kernels"

setup(
    packages=[
        *find_packages(include=["flowtorch", "flowtorch.*"]),
        *(f"flowtorch.{name}" for name in find_packages(include=[KERNELS, KERNELS + ".*"])),
    ],
    package_data={
        "flowtorch": ["py.typed", "*.pyi"],
        "flowtorch.codegen": ["*.h"],
        "flowtorch.native": ["*.c", "*.h"],
        "flowtorch.testing.difftest": ["explained.toml"],
        # What child processes find under the name torch; not a package of ours, so it travels as data.
        "flowtorch.shim": ["path/torch/__init__.py", "path/*/METADATA", "torch_names.txt"],
    },
)

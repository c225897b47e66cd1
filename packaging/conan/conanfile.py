# SPDX-License-Identifier: MIT
"""For Conan 2."""

from conan import ConanFile
from conan.errors import ConanInvalidConfiguration
from conan.tools.files import copy, get, rm, rmdir
from conan.tools.gnu import Autotools, AutotoolsToolchain
from conan.tools.layout import basic_layout


class LibhakmemConan(ConanFile):
    name = "libhakmem"
    version = "@VERSION@"
    description = "Memory allocator, a replacement for malloc"
    license = "MIT"
    url = "https://github.com/hakmem/libhakmem"
    homepage = "https://github.com/hakmem/libhakmem"
    topics = ("memory", "allocator", "malloc")
    package_type = "library"
    settings = "os", "arch", "compiler", "build_type"
    options = {"shared": [True, False], "fPIC": [True, False]}
    default_options = {"shared": True, "fPIC": True}

    def configure(self):
        if self.options.shared:
            self.options.rm_safe("fPIC")
        self.settings.rm_safe("compiler.cppstd")
        self.settings.rm_safe("compiler.libcxx")

    def validate(self):
        if self.settings.os != "Linux" or self.settings.arch in ("x86", "armv7", "armv7hf", "armv6", "mips", "ppc32"):
            raise ConanInvalidConfiguration("libhakmem runs on 64-bit Linux only")

    def layout(self):
        basic_layout(self, src_folder="src")

    def source(self):
        get(
            self,
            f"{self.homepage}/releases/download/v{self.version}/libhakmem-{self.version}.tar.xz",
            sha256="@SHA256@",
            strip_root=True,
        )

    def generate(self):
        toolchain = AutotoolsToolchain(self)
        toolchain.configure_args.append("--disable-silent-rules")
        toolchain.generate()

    def build(self):
        autotools = Autotools(self)
        autotools.configure()
        autotools.make()

    def package(self):
        Autotools(self).install()
        copy(self, "COPYING", self.source_folder, f"{self.package_folder}/licenses")
        rm(self, "*.la", self.package_folder, recursive=True)
        for folder in ("share", "lib/pkgconfig", "lib/cmake", "lib/hakmem", "libexec", "bin"):
            rmdir(self, f"{self.package_folder}/{folder}")

    def package_info(self):
        self.cpp_info.set_property("pkg_config_name", "hakmem")
        self.cpp_info.set_property("cmake_file_name", "hakmem")
        shared = self.options.shared
        self.cpp_info.set_property("cmake_target_name", "hakmem::hakmem" if shared else "hakmem::hakmem_static")
        self.cpp_info.libs = ["hakmem"]
        if not shared:
            self.cpp_info.system_libs = ["pthread"]

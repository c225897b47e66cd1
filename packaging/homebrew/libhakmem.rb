# SPDX-License-Identifier: MIT
# For Homebrew on Linux.
class Libhakmem < Formula
  include Language::Python::Shebang

  desc "Memory allocator, a replacement for malloc"
  homepage "https://github.com/hakmem/libhakmem"
  url "https://github.com/hakmem/libhakmem/releases/download/v@VERSION@/libhakmem-@VERSION@.tar.xz"
  sha256 "@SHA256@"
  license "MIT"

  depends_on "pkgconf" => :test
  depends_on :linux
  depends_on "python@3.13"

  def install
    system "./configure", "--disable-silent-rules", *std_configure_args
    system "make"
    system "make", "install"
    rewrite_shebang detected_python_shebang, libexec/"hakmem/hakmem-profile"
  end

  test do
    (testpath/"test.c").write <<~C
      #include <hakmem.h>
      #include <stdlib.h>
      int main(void) { hakmem_free(malloc(100)); return 0; }
    C
    flags = shell_output("pkgconf --cflags --libs hakmem").chomp.split
    system ENV.cc, "test.c", "-o", "test", *flags, "-Wl,-rpath,#{lib}"
    system "./test"
    assert_match "libhakmem", shell_output("#{bin}/hakmem run -- grep libhakmem /proc/self/maps")
  end
end

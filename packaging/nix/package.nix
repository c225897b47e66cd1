# SPDX-License-Identifier: MIT
# For nixpkgs' pkgs/by-name, or callPackage.
{
  lib,
  stdenv,
  fetchurl,
  check,
  perl,
  pkg-config,
  python3,
}:

stdenv.mkDerivation (finalAttrs: {
  pname = "libhakmem";
  version = "@VERSION@";

  src = fetchurl {
    url = "https://github.com/hakmem/libhakmem/releases/download/v${finalAttrs.version}/libhakmem-${finalAttrs.version}.tar.xz";
    hash = "sha256-@SHA256_BASE64@";
  };

  nativeBuildInputs = [ pkg-config ];
  # For hakmem profile, whose first line patchShebangs makes this one's.
  buildInputs = [ python3 ];
  nativeCheckInputs = [ perl ];
  checkInputs = [ check ];

  postPatch = ''
    patchShebangs build-aux scripts tests
  '';

  enableParallelBuilding = true;
  doCheck = true;
  # A builder has other programs, and less of /proc and /sys, than a machine.
  env.HAKMEM_TEST_SHORT = 1;

  meta = {
    description = "Memory allocator, a replacement for malloc";
    homepage = "https://github.com/hakmem/libhakmem";
    changelog = "https://github.com/hakmem/libhakmem/blob/v${finalAttrs.version}/NEWS";
    license = lib.licenses.mit;
    mainProgram = "hakmem";
    platforms = lib.filter (system: (lib.systems.elaborate system).is64bit) lib.platforms.linux;
  };
})

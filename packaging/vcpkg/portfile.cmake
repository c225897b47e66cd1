# SPDX-License-Identifier: MIT
vcpkg_download_distfile(ARCHIVE
  URLS "https://github.com/hakmem/libhakmem/releases/download/v${VERSION}/libhakmem-${VERSION}.tar.xz"
  FILENAME "libhakmem-${VERSION}.tar.xz"
  SHA512 @SHA512@)
vcpkg_extract_source_archive(SOURCE_PATH ARCHIVE "${ARCHIVE}")

vcpkg_configure_make(SOURCE_PATH "${SOURCE_PATH}" COPY_SOURCE OPTIONS --disable-silent-rules)
vcpkg_install_make()
vcpkg_fixup_pkgconfig()
vcpkg_cmake_config_fixup(PACKAGE_NAME hakmem CONFIG_PATH lib/cmake/hakmem)

# The command belongs to a system, not to a tree of libraries.
file(REMOVE_RECURSE
  "${CURRENT_PACKAGES_DIR}/debug/include"
  "${CURRENT_PACKAGES_DIR}/debug/share"
  "${CURRENT_PACKAGES_DIR}/lib/hakmem"
  "${CURRENT_PACKAGES_DIR}/debug/lib/hakmem"
  "${CURRENT_PACKAGES_DIR}/tools")
file(INSTALL "${CMAKE_CURRENT_LIST_DIR}/usage" DESTINATION "${CURRENT_PACKAGES_DIR}/share/${PORT}")
vcpkg_install_copyright(FILE_LIST "${SOURCE_PATH}/COPYING")

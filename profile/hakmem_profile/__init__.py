# SPDX-License-Identifier: MIT
"""The package behind `hakmem profile`.  profile/README in the sources lists its modules and how data flow."""

; SPDX-License-Identifier: MIT
; Factors of 1000036000099 = 1000003 * 1000033, by bits.
(set-logic QF_BV)
(declare-const a (_ BitVec 42))
(declare-const b (_ BitVec 42))
(assert (bvult a #b000000000000000000000100000000000000000000))
(assert (bvult b #b000000000000000000000100000000000000000000))
(assert (bvult (_ bv1 42) a))
(assert (bvule a b))
(assert (= (bvmul a b) (_ bv1000036000099 42)))
(check-sat)
(get-value (a b))

#include "os/cert.h"
Code cert_make_ca(const char *name, int days, Buf *ret_cert_pem, Buf *ret_key_pem, Err *err)
{ (void)name; (void)days; (void)ret_cert_pem; (void)ret_key_pem; return err_set(err, E_UNAVAILABLE, "no"); }
Code cert_make_leaf(const CertLeaf *leaf, Buf *ret_cert_pem, Buf *ret_key_pem, Err *err)
{ (void)leaf; (void)ret_cert_pem; (void)ret_key_pem; return err_set(err, E_UNAVAILABLE, "no"); }

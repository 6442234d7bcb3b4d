/* The constants of the float tables, for whoever wants to see them. */
#include "exp_f32.h"
#include "kernels_f32.h"
#include "log_f32.h"

int uvlm_tables_f32(float *powers, float *logs, float *inverses) {
    if (!powers || !logs || !inverses) return UVLM_NULL;
    memcpy(powers, uvlm_powers_f32, sizeof uvlm_powers_f32);
    memcpy(logs, uvlm_logs_f32, sizeof uvlm_logs_f32);
    memcpy(inverses, uvlm_inverses_f32, sizeof uvlm_inverses_f32);
    return UVLM_OK;
}

#include "format/arrow_build.h"

typedef struct ColumnData {
    uint8_t *valid;
    int32_t *offsets; /* of texts */
    Buf bytes;
    int64_t *numbers;
    double *reals;
    uint8_t *bits;
    const void *buffers[3];
} ColumnData;

static void column_release(ArrowArray *array)
{
    ColumnData *data = array->private_data;
    mem_free(&data->valid);
    mem_free(&data->offsets);
    mem_free(&data->numbers);
    mem_free(&data->reals);
    mem_free(&data->bits);
    buf_done(&data->bytes);
    mem_free(&data);
    array->release = NULL;
}

static void batch_release(ArrowArray *array)
{
    for (int64_t i = 0; i < array->n_children; i++) {
        arrow_array_done(array->children[i]);
        mem_free(&array->children[i]);
    }
    mem_free(&array->children);
    mem_free(&array->buffers);
    array->release = NULL;
}

ArrowArray arrow_batch_new(size_t columns)
{
    ArrowArray batch = { .n_buffers = 1, .n_children = (int64_t)columns, .release = batch_release };
    batch.buffers = mem_new(sizeof *batch.buffers);
    batch.children = mem_new((columns + 1) * sizeof *batch.children);
    return batch;
}

ArrowArray *arrow_column_new(ArrowCellType type, size_t rows_max, size_t text_bytes_max)
{
    ColumnData *data = mem_new(sizeof *data);
    ArrowArray *array = mem_new(sizeof *array);
    *array = (ArrowArray){ .n_buffers = type == ARROW_CELL_TEXT ? 3 : 2, .buffers = data->buffers,
                           .private_data = data, .release = column_release };
    buf_init(&data->bytes, text_bytes_max + 1);
    data->buffers[0] = data->valid = mem_new(rows_max / 8 + 1);
    switch (type) {
    case ARROW_CELL_TEXT:
        data->buffers[1] = data->offsets = mem_new((rows_max + 1) * sizeof *data->offsets);
        break;
    case ARROW_CELL_I64:
        data->buffers[1] = data->numbers = mem_new((rows_max + 1) * sizeof *data->numbers);
        break;
    case ARROW_CELL_F64:
        data->buffers[1] = data->reals = mem_new((rows_max + 1) * sizeof *data->reals);
        break;
    case ARROW_CELL_BOOL:
        data->buffers[1] = data->bits = mem_new(rows_max / 8 + 1);
        break;
    }
    return array;
}

void arrow_column_put(ArrowArray *column, ArrowCell cell)
{
    ColumnData *data = column->private_data;
    size_t at = (size_t)column->length++;
    uint8_t bit = (uint8_t)(1u << at % 8);
    if (cell.set)
        data->valid[at / 8] |= bit;
    column->null_count += !cell.set;
    if (data->offsets) {
        buf_put(&data->bytes, cell.text);
        buf_reserve(&data->bytes, 1); /* an address also when every text is empty */
        data->buffers[2] = data->bytes.ptr;
        data->offsets[at + 1] = (int32_t)data->bytes.len;
    } else if (data->reals) {
        data->reals[at] = cell.real;
    } else if (data->numbers) {
        data->numbers[at] = cell.number;
    } else if (cell.number) {
        data->bits[at / 8] |= bit;
    }
}

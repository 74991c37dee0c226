/* A Modbus RTU slave as libmodbus makes one: usage: libmodbus_slave DEVICE BAUDRATE UNIT. It has 100 of everything. */

#include <errno.h>
#include <modbus.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv)
{
    uint8_t request[MODBUS_RTU_MAX_ADU_LENGTH];
    modbus_mapping_t *registers = modbus_mapping_new(100, 100, 100, 100);
    modbus_t *line;

    if (argc != 4 || registers == NULL)
        return 2;
    line = modbus_new_rtu(argv[1], atoi(argv[2]), 'N', 8, 1);
    if (line == NULL || modbus_set_slave(line, atoi(argv[3])) || modbus_connect(line)) {
        fprintf(stderr, "%s: %s\n", argv[1], modbus_strerror(errno));
        return 1;
    }
    puts("ready");
    fflush(stdout);
    for (;;) {
        int size = modbus_receive(line, request);

        if (size > 0)
            modbus_reply(line, request, size, registers);
        else if (size < 0 && (errno == EIO || errno == EBADF || errno == ENODEV))
            return 0; /* the line has gone */
    }
}

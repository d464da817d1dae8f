# Makes one manual page: cmake -D SCDOC=... -D OPTION_REFERENCE=... -D SOURCE=...
# -D PAGE=... -D VERSION=... -P page.cmake
#
# In the source, @KEYS@ is the reference of all keys, @VERSION@ the version.
execute_process(COMMAND ${OPTION_REFERENCE} OUTPUT_VARIABLE KEYS
  COMMAND_ERROR_IS_FATAL ANY)
configure_file(${SOURCE} ${PAGE}.scd @ONLY)
execute_process(COMMAND ${SCDOC} INPUT_FILE ${PAGE}.scd OUTPUT_VARIABLE TEXT
  COMMAND_ERROR_IS_FATAL ANY)
# By this line man(1) knows of the tables, which scdoc does not tell.
file(WRITE ${PAGE} "'\\\" t\n${TEXT}")

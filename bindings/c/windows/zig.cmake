# Builds magi_rt.dll for 64-bit Windows on Linux or macOS, with the compiler that PyPI's ziglang
# brings, and runs the tests under Wine where that is there.
#
#   python3 -m venv zig && zig/bin/pip install ziglang
#   cmake -S . -B build-windows --toolchain bindings/c/windows/zig.cmake -DMAGI_RT_NETWORK=OFF \
#     -DZIG_PYTHON=$PWD/zig/bin/python
#   cmake --build build-windows && ctest --test-dir build-windows
set(CMAKE_SYSTEM_NAME Windows)
set(CMAKE_SYSTEM_PROCESSOR x86_64)

# cmake reads this file once more for every trial compilation.
set(CMAKE_TRY_COMPILE_PLATFORM_VARIABLES ZIG_PYTHON ZIG_TOOLS)
set(ZIG_PYTHON python3 CACHE STRING "A Python that has ziglang")
set(ZIG_TOOLS ${CMAKE_BINARY_DIR}/zig-tools CACHE INTERNAL "")

# cmake wants programs without arguments.
foreach(tool cc c++ ar ranlib rc)
  if(NOT EXISTS ${ZIG_TOOLS}/${tool})
    file(WRITE ${ZIG_TOOLS}/${tool} "#!/bin/sh\nexec '${ZIG_PYTHON}' -m ziglang ${tool} \"$@\"\n")
    file(CHMOD ${ZIG_TOOLS}/${tool}
      PERMISSIONS OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ GROUP_EXECUTE)
  endif()
endforeach()
set(CMAKE_C_COMPILER ${ZIG_TOOLS}/cc)
set(CMAKE_CXX_COMPILER ${ZIG_TOOLS}/c++)
set(CMAKE_C_COMPILER_TARGET x86_64-windows-gnu)
set(CMAKE_CXX_COMPILER_TARGET x86_64-windows-gnu)
set(CMAKE_AR ${ZIG_TOOLS}/ar CACHE FILEPATH "")
set(CMAKE_RANLIB ${ZIG_TOOLS}/ranlib CACHE FILEPATH "")
set(CMAKE_RC_COMPILER ${ZIG_TOOLS}/rc)

find_program(WINE NAMES wine64 wine PATHS /usr/lib/wine) # Debian: wine64
if(WINE)
  set(CMAKE_CROSSCOMPILING_EMULATOR ${WINE})
endif()
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)

// Rights that a process gives up for good. Must not decide which.
import CLinux

public enum Sandbox {
  /// prctl(2), PR_SET_NO_NEW_PRIVS, for this thread and those it starts.
  /// - Throws: EPERM, ENOSYS from an emulated or sandboxing system.
  public static func refuseNewPrivileges() throws(Errno) {
    try checked(linux_refuse_new_privileges())
  }

  /// capset(2): none is left to this thread and those it starts, nor to what they execute.
  /// - Throws: EPERM, ENOSYS, as above.
  public static func dropCapabilities() throws(Errno) { try checked(linux_drop_capabilities()) }

  /// landlock(7), for this thread and those it starts: files are read only, nothing is executed, no
  /// TCP port is listened on any more, and only these ports are connected to; as far as the kernel
  /// knows it. Wants `refuseNewPrivileges` first.
  /// - Returns: the kernel's version of Landlock.
  /// - Throws: ENOSYS or EOPNOTSUPP where there is none; EPERM.
  public static func restrictReach(toPorts ports: [UInt16]) throws(Errno) -> Int {
    Int(try checked(linux_restrict_reach(ports, ports.count)))
  }

  /// seccomp(2), SECCOMP_SET_MODE_FILTER, for all threads at once; `program` is of `sock_filter`s.
  /// Wants `refuseNewPrivileges` first.
  /// - Throws: ESRCH when a thread has another filter; EINVAL, EACCES, ENOSYS.
  public static func filterSystemCalls(_ program: [UInt64]) throws(Errno) {
    try checked(linux_filter_system_calls(program, program.count))
  }
}

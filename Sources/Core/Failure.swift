// Why a connection to a target could not be made, in the log's words. Must not know error numbers
// by their names: whoever makes the system call says which failure its number means.

/// What kept a connection to the target from being made.
public enum Failure: Equatable, Sendable {
  case refused
  case timedOut
  case networkUnreachable
  case hostUnreachable
  case reset
  /// NXDOMAIN: a name server says that there is no such name.
  case nameNotFound
  /// NODATA: the name exists, but has no address.
  case nameWithoutAddress
  /// No name server gave an answer, and there is no earlier one to stand in.
  case nameServersFailed
  /// The address is this process's own: it would connect to itself for ever.
  case loop
  /// The process's or the machine's file descriptors are used up.
  case noDescriptors
  case noMemory
  /// No free port of our own towards this target.
  case noLocalPort
  /// EPERM or EACCES: something on this machine forbids it.
  case notPermitted
  /// Any other error, by its errno(3).
  case system(Int32)
}

extension Failure {
  /// The log's `cause=`: one word, stable, to search and count by.
  public var name: StaticString {
    switch self {
    case .refused: "refused"
    case .timedOut: "timed_out"
    case .networkUnreachable: "network_unreachable"
    case .hostUnreachable: "host_unreachable"
    case .reset: "reset"
    case .nameNotFound: "name_not_found"
    case .nameWithoutAddress: "name_without_address"
    case .nameServersFailed: "name_servers_failed"
    case .loop: "loop"
    case .noDescriptors: "no_descriptors"
    case .noMemory: "no_memory"
    case .noLocalPort: "no_local_port"
    case .notPermitted: "not_permitted"
    case .system: "system_error"
    }
  }

  /// Which leg failed and what usually causes it, for whoever is woken by it.
  public var advice: StaticString {
    switch self {
    case .refused:
      """
      the target refused the connection: nothing listens on that port \
      (is the database up, is TARGET_PORT right?)
      """
    case .timedOut:
      """
      no answer from the target within CONNECT_TIMEOUT: usually a security group, a network ACL \
      or a route that drops packets
      """
    case .networkUnreachable:
      """
      no route from here to the target's network: usually a missing subnet route, \
      or an IPv6 address where only IPv4 is set up
      """
    case .hostUnreachable:
      """
      the network says the target's host cannot be reached: the host is down or gone, \
      or a firewall on the way rejects it
      """
    case .reset:
      """
      the target reset the connection while it was being made: usually a target that is \
      restarting, or a load balancer or firewall before it
      """
    case .nameNotFound:
      """
      the target's name does not exist: usually a misspelt TARGET_HOST, or a private hosted zone \
      that is not associated with this VPC
      """
    case .nameWithoutAddress:
      """
      the target's name exists but has no address: usually the name of a zone or of another \
      record, not of a host
      """
    case .nameServersFailed:
      """
      no name server gave an answer for the target's name; the line of the failed lookup tells \
      what each of them said: usually a security group or network ACL, or a wrong resolv.conf
      """
    case .loop:
      """
      the target's name leads back to this sidecar: usually an entry for it in /etc/hosts that is \
      meant for the application alone
      """
    case .noDescriptors:
      """
      this sidecar, not the target: no free file descriptors; raise the container's nofile limit \
      or lower MAX_CONNECTIONS
      """
    case .noMemory:
      """
      this sidecar, not the target: the kernel has no memory for another socket; \
      raise the container's memory limit or lower MAX_CONNECTIONS
      """
    case .noLocalPort:
      """
      this sidecar, not the target: no free local port towards it; too many connections opened and \
      closed in a minute (use a connection pool, or widen net.ipv4.ip_local_port_range)
      """
    case .notPermitted:
      """
      this machine forbids the connection before it leaves: \
      usually a local firewall rule or security policy
      """
    case .system:
      "the system gave an error this sidecar has no advice for: look up errno"
    }
  }
}

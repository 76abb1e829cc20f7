//! Relayed calls: a grant is good for the two hosts that it was given to, each as its own end.

use futures::{StreamExt, future::ready, stream};
use holdfast_chassis::tls::PeerInfo;
use holdfast_proto::names::HostName;
use tonic::Status;

use super::{LinkService, RpcError};
use crate::{
    job::JobSpec,
    relay::{self, End, Inbound, judge},
};

impl LinkService {
    /// Whether the host may use the grant that its call begins with; hands the whole call on.
    ///
    /// # Errors
    /// When the grant is not its own (audited), the call does not begin with one, or the catalog fails.
    pub(super) async fn vouched<T: Send + 'static>(
        &self,
        (peer, host): (&PeerInfo, &HostName),
        (call, end): (&str, End),
        mut inbound: Inbound<T>,
        grant: impl Fn(&T) -> Result<&[u8], Status> + Send,
    ) -> Result<Inbound<T>, Status> {
        let first = relay::first(&mut inbound).await?;
        let job = self.catalog.job_of_grant(grant(&first)?).await;
        let ends = job
            .map_err(RpcError::from)?
            .and_then(|job| JobSpec::ends(&job));
        match judge(ends, host, end) {
            Ok(()) => Ok(stream::once(ready(Ok(first))).chain(inbound).boxed()),
            Err(wrong) => Err(self.registrar.refuse(peer, call, wrong)),
        }
    }
}

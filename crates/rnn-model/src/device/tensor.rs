//! Arrays that live on a device.

use super::{Buffer, Device, Slice};
use crate::array::array;
use crate::{Error, HostArray, Result};
use ndarray::ArrayD;

/// An array of `f32` on a device, in row order. What a model gives it can be taken by another on the same device without
/// a way through the host.
///
/// ```
/// use ndarray::array;
/// use rnn_model::{Device, Tensor};
/// let device = Device::cpu();
/// let tensor = Tensor::from_array(&device, &array![[1.0f32, 2.0], [3.0, 4.0]])?;
/// assert_eq!(tensor.shape(), [2, 2]);
/// assert_eq!(tensor.to_array()?[[1, 0]], 3.0);
/// # Ok::<(), rnn_model::Error>(())
/// ```
pub struct Tensor {
    device: Device,
    buffer: Buffer,
    shape: Vec<usize>,
}

impl Tensor {
    /// Zeros.
    ///
    /// # Errors
    /// When the device lacks memory, or the shape has more values than can be counted.
    pub fn zeros(device: &Device, shape: &[usize]) -> Result<Tensor> {
        let len = shape.iter().try_fold(1usize, |a, &b| a.checked_mul(b));
        let len = len.ok_or_else(|| Error::shape("tensor", "a size that can be counted", shape))?;
        Ok(Tensor { device: device.clone(), buffer: device.alloc(len)?, shape: shape.to_vec() })
    }

    /// A copy of a host array.
    ///
    /// # Errors
    /// When the device lacks memory.
    pub fn from_array<'a>(device: &Device, array: impl Into<HostArray<'a>>) -> Result<Tensor> {
        let array = array.into();
        let tensor = Tensor::zeros(device, &array.shape)?;
        device.engine().write(tensor.all(), &array.data)?;
        Ok(tensor)
    }

    /// A copy on the host; waits for the device.
    ///
    /// # Errors
    /// When the device fails.
    pub fn to_array(&self) -> Result<ArrayD<f32>> {
        Ok(array(&self.shape, self.device.engine().read(self.all())?))
    }

    /// Sizes of the axes.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The device it lives on.
    pub fn device(&self) -> &Device {
        &self.device
    }

    pub(crate) fn all(&self) -> Slice {
        self.buffer.all()
    }
}

impl std::fmt::Debug for Tensor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Tensor({:?} on {})", self.shape, self.device.name())
    }
}

impl Device {
    /// Whether both names are of one device.
    pub(crate) fn is_same(&self, other: &Device) -> bool {
        std::sync::Arc::ptr_eq(&self.inner, &other.inner)
    }
}
